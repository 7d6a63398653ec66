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
	// accountClient is the application of service accounts that the input leaves out.
	accountClient = "11111111-1111-4111-8111-111111111111"
)

// cluster is what the operator reads from the API server for a case: the input's objects, and what the input's
// author has in the cluster beside them, so that every store can log in.
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
	made := &cluster{
		accounts: map[string]*corev1.ServiceAccount{}, secrets: map[string]*corev1.Secret{}, maps: found,
		clients: map[string]subjects{
			operatorClient:  {subject(operatorNamespace, operatorAccount): true},
			principalClient: {}, systemClient: {},
		},
	}
	for _, secret := range secrets {
		made.secrets[secret.Namespace+"/"+secret.Name] = secret
	}
	for _, o := range c.objects {
		if o.kind() == "ServiceAccount" {
			account := made.account(o.namespace(), o.name())
			for name, value := range o.at("metadata", "annotations") {
				account.Annotations[name], _ = value.(string)
			}
		}
	}
	for _, es := range c.externalSecrets() {
		for _, o := range c.objects {
			if slices.Contains([]string{"SecretStore", "ClusterSecretStore"}, o.kind()) && o.isOperators() {
				made.logIn(o, es.namespace(), certificate.keyText()+certificate.leaf())
			}
		}
	}
	return made, nil
}

// logIn adds what a store needs to log in when the ExternalSecret of a namespace uses it.
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

// namesItsApplication is whether a Secret holds the application of a store, and no annotation may.
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

// azureSDKs are the provider's clients of Azure that can log in by a store: its usual one, and the newer one. The
// newer one does not read the application of a service account from a Secret. The usual one signs a certificate's
// assertion for the token endpoint with its query, which the emulator does not accept.
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
