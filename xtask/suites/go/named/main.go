// Command named is grpc-go's interop server with a name: its own one leaves the field empty that the case pick_first_unary looks
// at. Everything else is the library's.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
)

func main() {
	port := flag.Int("port", 10000, "port to listen at, on loopback")
	flag.Parse()
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", *port))
	if err != nil {
		log.Fatalf("listen: %v", err)
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(withName))
	testgrpc.RegisterTestServiceServer(server, interop.NewTestServer())
	log.Fatal(server.Serve(listener))
}

func withName(
	ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler,
) (any, error) {
	answer, err := next(ctx, request)
	asked, isAsked := request.(*testgrpc.SimpleRequest)
	if response, isResponse := answer.(*testgrpc.SimpleResponse); isAsked && isResponse && asked.GetFillServerId() {
		response.ServerId = "named"
	}
	return answer, err
}
