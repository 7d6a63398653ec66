package judge

import (
	"context"
	"errors"
	"fmt"
	"maps"

	esv1 "github.com/external-secrets/external-secrets/apis/externalsecrets/v1"
	"github.com/external-secrets/external-secrets/pkg/controllers/templating"
	"github.com/external-secrets/external-secrets/pkg/esutils"
	"github.com/external-secrets/external-secrets/pkg/provider/azure/keyvault"
	"github.com/external-secrets/external-secrets/pkg/template"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// operator computes Secrets as the operator's controller does. The controller itself cannot be linked. This code
// performs the steps between the provider, the helpers and the template parser, which are the operator's own code.
type operator struct {
	cluster client.Client
	// store finds the store for a reference in a namespace.
	store func(reference esv1.SecretStoreRef, namespace string) (esv1.GenericStore, error)
	// azureSDK selects one of the two Azure clients of the provider.
	azureSDK bool
	clients  map[esv1.SecretStoreRef]esv1.SecretsClient
}

// secret is the Secret that the operator creates for an ExternalSecret.
func (o *operator) secret(ctx context.Context, es *esv1.ExternalSecret) (*corev1.Secret, error) {
	o.clients = map[esv1.SecretStoreRef]esv1.SecretsClient{}
	data, err := o.data(ctx, es)
	if err != nil {
		return nil, err
	}
	name := es.Spec.Target.Name
	if name == "" {
		name = es.Name
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: es.Namespace},
		Type:       corev1.SecretTypeOpaque,
		Data:       map[string][]byte{},
	}
	if es.Spec.Target.Template == nil {
		secret.Data = data
		return secret, nil
	}
	return secret, o.fill(ctx, es, secret, data)
}

// data has the values of the vaults: dataFrom in its order, then data, which overrides it.
func (o *operator) data(ctx context.Context, es *esv1.ExternalSecret) (map[string][]byte, error) {
	data := map[string][]byte{}
	for index, from := range es.Spec.DataFrom {
		found, err := o.several(ctx, es, from)
		if missing(es, err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("spec.dataFrom[%d]: %w", index, err)
		}
		data = esutils.MergeByteMap(data, found)
	}
	for index, one := range es.Spec.Data {
		var from *esv1.StoreGeneratorSourceRef
		if one.SourceRef != nil {
			from = &esv1.StoreGeneratorSourceRef{SecretStoreRef: &one.SourceRef.SecretStoreRef}
		}
		value, err := o.one(ctx, es, from, one.RemoteRef)
		if missing(es, err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("spec.data[%d]: %w", index, err)
		}
		data[one.SecretKey] = value
	}
	return data, nil
}

// missing reports whether the operator leaves out an object that the vault does not have.
func missing(es *esv1.ExternalSecret, err error) bool {
	return errors.Is(err, esv1.NoSecretErr) && es.Spec.Target.DeletionPolicy != esv1.DeletionPolicyRetain
}

func (o *operator) one(ctx context.Context, es *esv1.ExternalSecret, from *esv1.StoreGeneratorSourceRef, reference esv1.ExternalSecretDataRemoteRef) ([]byte, error) {
	vault, err := o.client(ctx, es, from)
	if err != nil {
		return nil, err
	}
	value, err := vault.GetSecret(ctx, reference)
	if err != nil {
		return nil, err
	}
	return esutils.Decode(reference.DecodingStrategy, value)
}

// several has the values of an element of dataFrom: keys are rewritten or converted, then checked; values are decoded.
func (o *operator) several(ctx context.Context, es *esv1.ExternalSecret, from esv1.ExternalSecretDataFromRemoteRef) (map[string][]byte, error) {
	var found map[string][]byte
	var conversion esv1.ExternalSecretConversionStrategy
	var decoding esv1.ExternalSecretDecodingStrategy
	vault, err := o.client(ctx, es, from.SourceRef)
	if err != nil {
		return nil, err
	}
	switch {
	case from.Find != nil:
		conversion, decoding = from.Find.ConversionStrategy, from.Find.DecodingStrategy
		found, err = vault.GetAllSecrets(ctx, *from.Find)
	case from.Extract != nil:
		conversion, decoding = from.Extract.ConversionStrategy, from.Extract.DecodingStrategy
		found, err = vault.GetSecretMap(ctx, *from.Extract)
	default:
		return nil, errors.New("it has neither find nor extract")
	}
	if err != nil {
		return nil, err
	}
	if len(from.Rewrite) > 0 {
		found, err = esutils.RewriteMap(from.Rewrite, found)
	} else {
		found, err = esutils.ConvertKeys(conversion, found)
	}
	if err != nil {
		return nil, err
	}
	if err := esutils.ValidateKeys(logr.Discard(), found); err != nil {
		return nil, err
	}
	return esutils.DecodeMap(decoding, found)
}

// client is the provider's client for the store of an element, or for the store of the ExternalSecret.
func (o *operator) client(ctx context.Context, es *esv1.ExternalSecret, from *esv1.StoreGeneratorSourceRef) (esv1.SecretsClient, error) {
	reference := es.Spec.SecretStoreRef
	if from != nil && from.GeneratorRef != nil {
		return nil, errors.New("generators are not computed here")
	}
	if from != nil && from.SecretStoreRef != nil {
		reference = *from.SecretStoreRef
	}
	if known, ok := o.clients[reference]; ok {
		return known, nil
	}
	store, err := o.store(reference, es.Namespace)
	if err != nil {
		return nil, err
	}
	if store.GetSpec().Provider == nil || store.GetSpec().Provider.AzureKV == nil {
		return nil, fmt.Errorf("%s %s is not a store of Azure Key Vault", reference.Kind, reference.Name)
	}
	provider := &keyvault.Azure{}
	if _, err := provider.ValidateStore(store); err != nil {
		return nil, err
	}
	store.GetSpec().Provider.AzureKV.UseAzureSDK = ptr.To(o.azureSDK)
	created, err := provider.NewClient(ctx, store, o.cluster, es.Namespace)
	if err != nil {
		return nil, err
	}
	o.clients[reference] = created
	return created, nil
}

// fill renders the template into the Secret. Later steps override earlier ones.
func (o *operator) fill(ctx context.Context, es *esv1.ExternalSecret, secret *corev1.Secret, data map[string][]byte) error {
	written := es.Spec.Target.Template
	if written.Type != "" {
		secret.Type = written.Type
	}
	without := len(written.Data) == 0 && len(written.TemplateFrom) == 0
	if without || written.MergePolicy == esv1.MergePolicyMerge {
		maps.Copy(secret.Data, data)
	}
	execute, err := template.EngineForVersion(written.EngineVersion)
	if err != nil {
		return err
	}
	parser := templating.Parser{Client: o.cluster, TargetSecret: secret, DataMap: data, Exec: execute}
	if err := parser.MergeTemplateFrom(ctx, es.Namespace, written); err != nil {
		return err
	}
	return parser.MergeMap(written.Data, esv1.TemplateTargetData)
}
