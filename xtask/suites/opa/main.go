// Command opa answers Envoy's external authorization API by a policy in Rego: a decision of OPA on the attributes of the request, in the
// form in which OPA's plug-in for Envoy takes and gives them. The messages are Envoy's published Go types, so that the wire is not ours.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"os"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	auth "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	httptype "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"github.com/open-policy-agent/opa/v1/rego"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
)

type server struct {
	auth.UnimplementedAuthorizationServer
	query rego.PreparedEvalQuery
}

// The decision: what the plug-in calls the object form.
type decision struct {
	Allowed         bool              `json:"allowed"`
	Status          int32             `json:"http_status"`
	Body            string            `json:"body"`
	Headers         map[string]string `json:"headers"`
	HeadersToRemove []string          `json:"request_headers_to_remove"`
	ResponseToAdd   map[string]string `json:"response_headers_to_add"`
}

func main() {
	listen := flag.String("listen", "127.0.0.1:9191", "address to listen at")
	policy := flag.String("policy", "", "file with the policy, whose decision is data.mesh.decision")
	flag.Parse()
	text, err := os.ReadFile(*policy)
	if err != nil {
		log.Fatalf("read the policy: %v", err)
	}
	query, err := rego.New(rego.Query("data.mesh.decision"), rego.Module("policy.rego", string(text))).
		PrepareForEval(context.Background())
	if err != nil {
		log.Fatalf("read the policy: %v", err)
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatalf("listen: %v", err)
	}
	s := grpc.NewServer()
	auth.RegisterAuthorizationServer(s, &server{query: query})
	log.Fatal(s.Serve(listener))
}

func (s *server) Check(ctx context.Context, request *auth.CheckRequest) (*auth.CheckResponse, error) {
	bytes, err := protojson.Marshal(request)
	if err != nil {
		return nil, err
	}
	var input map[string]any
	if err := json.Unmarshal(bytes, &input); err != nil {
		return nil, err
	}
	results, err := s.query.Eval(ctx, rego.EvalInput(input))
	if err != nil {
		return nil, err
	}
	if len(results) != 1 || len(results[0].Expressions) != 1 {
		return nil, fmt.Errorf("the policy has no decision")
	}
	said, err := json.Marshal(results[0].Expressions[0].Value)
	if err != nil {
		return nil, err
	}
	var it decision
	if err := json.Unmarshal(said, &it); err != nil {
		return nil, err
	}
	if it.Allowed {
		return &auth.CheckResponse{
			Status: &status.Status{Code: int32(codes.OK)},
			HttpResponse: &auth.CheckResponse_OkResponse{OkResponse: &auth.OkHttpResponse{
				Headers:              headers(it.Headers),
				HeadersToRemove:      it.HeadersToRemove,
				ResponseHeadersToAdd: headers(it.ResponseToAdd),
			}},
		}, nil
	}
	return &auth.CheckResponse{
		Status: &status.Status{Code: int32(codes.PermissionDenied)},
		HttpResponse: &auth.CheckResponse_DeniedResponse{DeniedResponse: &auth.DeniedHttpResponse{
			Status:  &httptype.HttpStatus{Code: httptype.StatusCode(it.Status)},
			Headers: headers(it.Headers),
			Body:    it.Body,
		}},
	}, nil
}

func headers(from map[string]string) []*core.HeaderValueOption {
	var options []*core.HeaderValueOption
	for key, value := range from {
		options = append(options, &core.HeaderValueOption{Header: &core.HeaderValue{Key: key, Value: value}})
	}
	return options
}
