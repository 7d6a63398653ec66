package judge

import (
	"encoding/json"
	"io"
	"net"
	"net/http"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/client-go/kubernetes/scheme"
)

// serveTokens serves the operator's token requests, which are protobuf, with tokens of the emulator. It returns the
// address of this API server.
func (a *azure) serveTokens() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	handler := http.NewServeMux()
	handler.HandleFunc("POST /api/v1/namespaces/{namespace}/serviceaccounts/{account}/token", func(response http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			http.Error(response, err.Error(), http.StatusBadRequest)
			return
		}
		decoded, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
		if err != nil {
			http.Error(response, err.Error(), http.StatusBadRequest)
			return
		}
		tokenRequest, ok := decoded.(*authenticationv1.TokenRequest)
		if !ok || len(tokenRequest.Spec.Audiences) != 1 || tokenRequest.Spec.Audiences[0] != audience {
			http.Error(response, "not a request for one token of audience "+audience, http.StatusBadRequest)
			return
		}
		token, err := a.serviceAccountToken(request.PathValue("namespace"), request.PathValue("account"))
		if err != nil {
			http.Error(response, err.Error(), http.StatusBadGateway)
			return
		}
		tokenRequest.APIVersion, tokenRequest.Kind = "authentication.k8s.io/v1", "TokenRequest"
		tokenRequest.Status.Token = token
		response.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(response).Encode(tokenRequest)
	})
	go func() { _ = http.Serve(listener, handler) }()
	return "http://" + listener.Addr().String(), nil
}
