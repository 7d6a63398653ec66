package cluster

import "testing"

const vaultsDown = "[{target: vaults, fault: status, status: 503}]"

func TestDuringAnOutageAPodStartsWithWhatItsServiceAccountHasReadAndNoOtherDoes(t *testing.T) {
	s := begin(t, standard())
	s.namespace("outage")
	s.expectWarnings("Key Vault|vault")
	s.applyAccount("outage", "app", "aaaaaaaa-0004-4000-8000-000000000001")
	s.applyAccount("outage", "other", "aaaaaaaa-0004-4000-8000-000000000002")
	s.applyClass(class{namespace: "outage", name: "class", vault: "outage", objects: secrets("password")})
	s.startPod("outage", "before", "app", "class").ready()

	s.azure.fail(t, vaultsDown)
	after := s.startPod("outage", "after", "app", "class")
	other := s.startPod("outage", "other", "other", "class")
	after.ready()
	after.reads("/secrets/password", "as it was")
	other.fails("code = Internal", "outage.vault.azure.net")

	s.azure.recover(t)
	other.ready()
	other.reads("/secrets/password", "as it was")
}

func TestAFirstMountComesFromTheFailoverVaultWhileItsOwnIsUnavailable(t *testing.T) {
	notCore(t)
	s := begin(t, standard("failoverVaults: {outage: outage-replica}\n"))
	s.namespace("outage")
	s.expectWarnings("stale or replica values served")
	s.applyAccount("outage", "app", "aaaaaaaa-0004-4000-8000-000000000001")
	s.applyClass(class{namespace: "outage", name: "class", vault: "outage", objects: secrets("password")})
	s.azure.fail(t, "[{vault: outage, fault: refuse}]")
	pod := s.startPod("outage", "app", "app", "class")
	pod.ready()
	pod.reads("/secrets/password", "of the replica")
}
