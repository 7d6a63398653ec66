package peer

import (
	"math/rand/v2"
	"strings"
)

// generator generates requests; the same seed and index give the same request.
type generator struct {
	*rand.Rand
	catalogue map[string][]object
	cloudFile string
	// oddity is how often something is chosen that may keep the pod from starting, from 0 to 1. Most requests have
	// none or little of it, so that one such thing does not hide another.
	oddity float64
	// variety is how often another spelling of the same thing is chosen.
	variety float64
}

// request generates request number index.
func (g *generator) request(seed, index uint64) *request {
	g.Rand = rand.New(rand.NewPCG(seed, index))
	g.oddity = []float64{0, 0, 0, 0, 0, 0, 0.005, 0.01, 0.03, 0.15}[g.IntN(10)]
	g.variety = []float64{0, 0.05, 0.1, 0.2, 0.5}[g.IntN(5)]
	r := &request{
		seed: seed, index: index,
		flags:      flags{constructChain: g.IntN(4) > 0, separateFiles: g.IntN(3) == 0},
		parameters: map[string]string{},
		permission: weighted(g, "420", "256", "288", "511", "0"),
	}
	g.vault(r)
	g.identity(r)
	g.cloud(r)
	g.otherParameters(r)
	if objects, found := g.objects(); found {
		r.parameters["objects"] = objects
	}
	return r
}

// odd is whether something is wanted here that may keep the pod from starting.
func (g *generator) odd() bool {
	return g.Float64() < g.oddity
}

// vary is whether another spelling is wanted here.
func (g *generator) vary() bool {
	return g.Float64() < g.variety
}

// one is any of these.
func one[T any](g *generator, values ...T) T {
	return values[g.IntN(len(values))]
}

// weighted is mostly the first of these.
func weighted[T any](g *generator, usual T, others ...T) T {
	if g.odd() {
		return one(g, others...)
	}
	return usual
}

// varied is the first of these, or another that means the same.
func varied[T any](g *generator, usual T, others ...T) T {
	if g.vary() {
		return one(g, others...)
	}
	return usual
}

// padded is the value, perhaps with white space around it.
func (g *generator) padded(value string) string {
	if !g.vary() {
		return value
	}
	space := func() string { return one(g, "", "", " ", "\n", "\t", "  \n", "\u00a0", "\r\n", "\u2028", "\u0085") }
	return space() + value + space()
}

// cased is the value, perhaps in other letters.
func (g *generator) cased(value string) string {
	if !g.vary() {
		return value
	}
	return one(g, strings.ToUpper, strings.ToLower, strings.ToTitle, func(text string) string {
		if text == "" {
			return text
		}
		return strings.ToUpper(text[:1]) + text[1:]
	})(value)
}

func (g *generator) vault(r *request) {
	name := weighted(g, vault, "other-vault", "closed-vault", "no-such-vault", "ab", strings.Repeat("a", 25), "peer.vault",
		"https://peer-vault.vault.azure.net", "peer_vault", "", "peer-vault/", "пир")
	r.parameters["keyvaultName"] = g.padded(g.cased(name))
	if g.odd() && g.odd() {
		delete(r.parameters, "keyvaultName")
	}
}

func (g *generator) tenant(r *request) {
	value := g.padded(weighted(g, tenant, tenant, strings.ToUpper(tenant), stranger, "not a tenant", "", "a/b"))
	switch g.IntN(5) {
	case 0:
		r.parameters["tenantId"] = value
	case 1:
		r.parameters["tenantID"], r.parameters["tenantId"] = value, one(g, tenant, "", "ignored")
	case 2:
		r.parameters["tenantID"] = varied(g, value, "", " ")
		r.parameters["tenantId"] = tenant
	default:
		r.parameters["tenantID"] = value
	}
	if g.odd() {
		delete(r.parameters, one(g, "tenantID", "tenantId"))
	}
}

// boolean is a spelling of a boolean.
func (g *generator) boolean(value bool) string {
	spellings := []string{"false", "False", "FALSE", "0", "f", "F"}
	if value {
		spellings = []string{"true", "True", "TRUE", "1", "t", "T"}
	}
	return g.padded(weighted(g, one(g, spellings...), "yes", "no", "on", "tRUE", "2", "\"true\""))
}

func (g *generator) identity(r *request) {
	g.tenant(r)
	const pod, app, node, user = 0, 1, 2, 3
	mode := one(g, pod, pod, pod, app, app, node, user)
	if mode == pod || g.odd() {
		r.parameters["clientID"] = g.padded(weighted(g, varied(g, podClient, strings.ToUpper(podClient)), appClient, "not-a-client", "", "22222222-2222-4222-8222-222222222222"))
	}
	if mode == app || g.odd() {
		r.secrets = map[string]string{
			one(g, "clientid", g.cased("clientID")):         weighted(g, appClient, podClient, "", "not-a-client", strings.ToUpper(appClient), appClient+"\n"),
			one(g, "clientsecret", g.cased("clientSecret")): weighted(g, appSecret, "wrong", "", appSecret+"\n"),
		}
		if g.vary() {
			r.secrets["unrelated"] = "x"
		}
	}
	if mode == node || mode == user {
		r.parameters["useVMManagedIdentity"] = g.boolean(true)
	} else if g.IntN(3) == 0 {
		r.parameters["useVMManagedIdentity"] = g.boolean(false)
	}
	if mode == user {
		r.parameters["userAssignedIdentityID"] = g.padded(weighted(g, nodeUser, strings.ToUpper(nodeUser), "", podClient, "not-an-identity"))
	} else if g.IntN(4) == 0 {
		r.parameters["userAssignedIdentityID"] = weighted(g, "", nodeUser)
	}
	if g.IntN(2) == 0 {
		r.parameters["usePodIdentity"] = g.boolean(false)
	}
	if g.IntN(6) == 0 {
		r.parameters["useAzureTokenProxy"] = g.boolean(false)
	}
	r.withoutToken = mode != pod && g.IntN(2) == 0 || g.odd() && g.odd()
}

func (g *generator) cloud(r *request) {
	switch {
	case g.IntN(2) == 0:
		return
	case g.odd():
		r.parameters["cloudName"] = one(g, "AzureCloudy", "azure", "Public", "https://vault.azure.net")
	default:
		r.parameters["cloudName"] = g.padded(g.cased(varied(g, one(g, "", "AzurePublicCloud"),
			"AzureCloud", "AzurePublicCloud", "AzureUSGovernmentCloud", "AzureUSGovernment", "AzureChinaCloud", "AzureStackCloud")))
	}
	if strings.EqualFold(strings.TrimSpace(r.parameters["cloudName"]), "AzureStackCloud") {
		if strings.Contains(r.parameters["tenantID"], stranger) || strings.Contains(r.parameters["tenantId"], stranger) {
			// The emulator's private cloud tells the endpoints of its own tenant to those who ask for another one's.
			delete(r.parameters, "cloudName")
			return
		}
		r.parameters["cloudEnvFileName"] = g.padded(g.cloudFile)
	}
}

func (g *generator) otherParameters(r *request) {
	for _, name := range []string{"resourceGroup", "subscriptionId", "keyvaultname", "clientId", "KeyVaultName", "vaultName", "Objects"} {
		if g.odd() && g.odd() {
			r.parameters[name] = one(g, "", "x", podClient)
		}
	}
}
