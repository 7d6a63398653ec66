package cluster

import "testing"

func TestARefusalOfEntraIsInThePodsEventsWithItsCodeAndTheFix(t *testing.T) {
	s := begin(t, standard())
	s.namespace("refusals")
	s.expectWarnings("AADSTS700213")
	s.applyAccount("refusals", "stranger", "")
	s.applyClass(class{namespace: "refusals", name: "class", vault: "refusals",
		clientID: "aaaaaaaa-0002-4000-8000-000000000001", objects: secrets("allowed")})
	pod := s.startPod("refusals", "stranger", "stranger", "class")
	pod.fails("code = Unauthenticated", "AADSTS700213", `subject must be "system:serviceaccount:refusals:stranger"`)
}

func TestADeniedObjectIsInThePodsEventsWithTheRoleThatIsMissing(t *testing.T) {
	notCore(t)
	s := begin(t, standard())
	s.namespace("refusals")
	s.expectWarnings("PermissionDenied|PERMISSION_DENIED|Key Vault Secrets User")
	s.applyAccount("refusals", "app", "aaaaaaaa-0002-4000-8000-000000000001")
	s.applyClass(class{namespace: "refusals", name: "class", vault: "refusals-locked", objects: secrets("locked")})
	pod := s.startPod("refusals", "app", "app", "class")
	pod.fails("code = PermissionDenied", "secret locked of refusals-locked.vault.azure.net", "Key Vault Secrets User")
}

func TestAMissingObjectIsInThePodsEventsAndThePodStartsOnceItIsThere(t *testing.T) {
	notCore(t)
	s := begin(t, standard())
	s.namespace("refusals")
	s.expectWarnings("late")
	s.applyAccount("refusals", "app", "aaaaaaaa-0002-4000-8000-000000000001")
	s.applyClass(class{namespace: "refusals", name: "class", vault: "refusals", objects: secrets("late")})
	pod := s.startPod("refusals", "app", "app", "class")
	pod.fails("code = NotFound", "late")
	s.azure.setSecret(t, "refusals", "late", "better than never")
	pod.ready()
	pod.reads("/secrets/late", "better than never")
}

func TestEveryMistakeOfAClassIsInThePodsEventsAtOnce(t *testing.T) {
	notCore(t)
	s := begin(t, standard())
	s.namespace("refusals")
	s.expectWarnings("objectType")
	s.applyAccount("refusals", "app", "aaaaaaaa-0002-4000-8000-000000000001")
	s.applyClass(class{namespace: "refusals", name: "class", vault: "refusals", objects: `
- {objectName: allowed, objectType: sercet}
- {objectName: "two words", objectType: secret}`})
	pod := s.startPod("refusals", "app", "app", "class")
	pod.fails("code = InvalidArgument", "sercet", "two words")
}
