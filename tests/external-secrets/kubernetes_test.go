package judge

import (
	"encoding/json"
	"io"
	"net"
	"net/http"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/client-go/kubernetes/scheme"
)

// serveTokens answers the operator's token requests, which come as protobuf, with the emulator's tokens. It
// returns the address of this API server.
func (a *azure) serveTokens() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	handler := http.NewServeMux()
	handler.HandleFunc("POST /api/v1/namespaces/{namespace}/serviceaccounts/{account}/token", func(answer http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			http.Error(answer, err.Error(), http.StatusBadRequest)
			return
		}
		decoded, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
		if err != nil {
			http.Error(answer, err.Error(), http.StatusBadRequest)
			return
		}
		asked, ok := decoded.(*authenticationv1.TokenRequest)
		if !ok || len(asked.Spec.Audiences) != 1 || asked.Spec.Audiences[0] != audience {
			http.Error(answer, "not a request for one token of audience "+audience, http.StatusBadRequest)
			return
		}
		token, err := a.serviceAccountToken(request.PathValue("namespace"), request.PathValue("account"))
		if err != nil {
			http.Error(answer, err.Error(), http.StatusBadGateway)
			return
		}
		asked.APIVersion, asked.Kind = "authentication.k8s.io/v1", "TokenRequest"
		asked.Status.Token = token
		answer.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(answer).Encode(asked)
	})
	go func() { _ = http.Serve(listener, handler) }()
	return "http://" + listener.Addr().String(), nil
}
