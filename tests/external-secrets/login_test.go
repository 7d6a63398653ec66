package judge

import (
	"slices"

	esv1 "github.com/external-secrets/external-secrets/apis/externalsecrets/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

const (
	clientAnnotation = "azure.workload.identity/client-id"
	tenantAnnotation = "azure.workload.identity/tenant-id"
	// accountClient is the application of service accounts that are not in the input.
	accountClient = "11111111-1111-4111-8111-111111111111"
)

// cluster has the objects that the operator reads from the API server for a case: those of the input, and the
// service accounts and Secrets that every store needs to log in.
type cluster struct {
	accounts map[string]*corev1.ServiceAccount
	secrets  map[string]*corev1.Secret
	maps     []*corev1.ConfigMap
	// clients are the applications that must be in Entra.
	clients map[string]subjects
}

func newCluster(c *testCase, certificate *material) (*cluster, error) {
	found, secrets, err := c.configMapsAndSecrets()
	if err != nil {
		return nil, err
	}
	k := &cluster{
		accounts: map[string]*corev1.ServiceAccount{}, secrets: map[string]*corev1.Secret{}, maps: found,
		clients: map[string]subjects{
			operatorClient:  {subject(operatorNamespace, operatorAccount): true},
			principalClient: {}, systemClient: {},
		},
	}
	for _, secret := range secrets {
		k.secrets[secret.Namespace+"/"+secret.Name] = secret
	}
	for _, o := range c.objects {
		if o.kind() == "ServiceAccount" {
			account := k.account(o.namespace(), o.name())
			for name, value := range o.at("metadata", "annotations") {
				account.Annotations[name], _ = value.(string)
			}
		}
	}
	for _, es := range c.externalSecrets() {
		for _, o := range c.objects {
			if slices.Contains([]string{"SecretStore", "ClusterSecretStore"}, o.kind()) && o.isOperators() {
				k.logIn(o, es.namespace(), certificate.keyText()+certificate.leaf())
			}
		}
	}
	return k, nil
}

// logIn adds the objects that a store needs to log in for an ExternalSecret of the namespace.
func (k *cluster) logIn(store object, namespace, pem string) {
	azure := store.at("spec", "provider", "azurekv")
	in := func(reference object) string {
		if own := text(reference, "namespace"); own != "" && store.kind() == "ClusterSecretStore" {
			return own
		}
		return namespace
	}
	if client := text(azure, "identityId"); uuid.MatchString(client) {
		k.allow(client)
	}
	if reference := azure.at("serviceAccountRef"); text(reference, "name") != "" {
		account := k.account(in(reference), text(reference, "name"))
		client := principalClient
		if !namesItsApplication(azure) {
			if account.Annotations[clientAnnotation] == "" {
				account.Annotations[clientAnnotation] = accountClient
			}
			if account.Annotations[tenantAnnotation] == "" && text(azure, "tenantId") == "" {
				account.Annotations[tenantAnnotation] = tenant
			}
			client = account.Annotations[clientAnnotation]
		}
		k.allow(client, subject(account.Namespace, account.Name))
	}
	values := map[string]string{
		"clientId": principalClient, "clientSecret": principalSecret, "clientCertificate": pem, "tenantId": tenant,
	}
	for field, value := range values {
		reference := azure.at("authSecretRef", field)
		if text(reference, "name") == "" {
			continue
		}
		at := in(reference) + "/" + text(reference, "name")
		if k.secrets[at] == nil {
			k.secrets[at] = &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: in(reference), Name: text(reference, "name")}, Data: map[string][]byte{},
			}
		}
		k.secrets[at].Data[text(reference, "key")] = []byte(value)
	}
}

// namesItsApplication reports whether the application of a store is in a Secret, so that annotations must not set it.
func namesItsApplication(azure object) bool {
	return text(azure.at("authSecretRef", "clientId"), "name") != ""
}

func (k *cluster) allow(client string, accounts ...string) {
	if k.clients[client] == nil {
		k.clients[client] = subjects{}
	}
	for _, subject := range accounts {
		k.clients[client][subject] = true
	}
}

func (k *cluster) account(namespace, name string) *corev1.ServiceAccount {
	at := namespace + "/" + name
	if k.accounts[at] == nil {
		k.accounts[at] = &corev1.ServiceAccount{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: map[string]string{}},
		}
	}
	return k.accounts[at]
}

// client is the API server's client for the operator.
func (k *cluster) client() client.Client {
	builder := fake.NewClientBuilder()
	for _, account := range k.accounts {
		builder.WithObjects(account)
	}
	for _, secret := range k.secrets {
		builder.WithObjects(secret)
	}
	for _, configMap := range k.maps {
		builder.WithObjects(configMap)
	}
	return builder.Build()
}

// authType is how a store logs in; the CRD has a default.
func authType(store esv1.GenericStore) esv1.AzureAuthType {
	return *store.GetSpec().Provider.AzureKV.AuthType
}

// azureSDKs are the Azure clients of the provider that can log in for a store: the default and the newer one. The newer
// one does not read the application of a service account from a Secret. The default signs a certificate's assertion
// for the token endpoint including its query, which the emulator does not accept.
func azureSDKs(store esv1.GenericStore) []bool {
	reference := store.GetSpec().Provider.AzureKV.AuthSecretRef
	switch {
	case reference != nil && authType(store) == esv1.AzureWorkloadIdentity:
		return []bool{false}
	case reference != nil && reference.ClientCertificate != nil:
		return []bool{true}
	default:
		return []bool{false, true}
	}
}
