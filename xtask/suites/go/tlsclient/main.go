// Command tlsclient says what a TLS server agrees on with a client that offers little: one key exchange, one version, one protocol
// inside. It is of Go's own library alone, so that another implementation than ours is at the other end.
package main

import (
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"time"
)

var groups = map[string]tls.CurveID{
	"x25519mlkem768": tls.X25519MLKEM768,
	"x25519":         tls.X25519,
	"secp256r1":      tls.CurveP256,
}

var versions = map[string]uint16{
	"1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13,
}

type answer struct {
	Version  string `json:"version"`
	Group    string `json:"group"`
	Protocol string `json:"protocol"`
	// Why there was no handshake.
	Refused string `json:"refused"`
	// What became of the connection after it: a server says only then what it thinks of the client's certificate.
	After string `json:"after"`
}

func main() {
	address := flag.String("address", "", "HOST:PORT")
	group := flag.String("group", "x25519mlkem768", "the only key exchange that is offered")
	version := flag.String("version", "1.3", "the only version that is offered")
	protocol := flag.String("protocol", "amime/h1", "what ALPN offers")
	flag.Parse()
	said := ask(*address, groups[*group], versions[*version], *protocol)
	if err := json.NewEncoder(os.Stdout).Encode(said); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func ask(address string, group tls.CurveID, version uint16, protocol string) answer {
	plain, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return answer{Refused: err.Error()}
	}
	defer plain.Close()
	_ = plain.SetDeadline(time.Now().Add(10 * time.Second))
	client := tls.Client(plain, &tls.Config{
		// Its identity is a SPIFFE id, which Go does not check; what is asked here is what it agrees on.
		InsecureSkipVerify: true,
		CurvePreferences:   []tls.CurveID{group},
		MinVersion:         version,
		MaxVersion:         version,
		NextProtos:         []string{protocol},
	})
	if err := client.Handshake(); err != nil {
		return answer{Refused: err.Error()}
	}
	state := client.ConnectionState()
	said := answer{
		Version:  tls.VersionName(state.Version),
		Group:    state.CurveID.String(),
		Protocol: state.NegotiatedProtocol,
	}
	if _, err := client.Read(make([]byte, 1)); err != nil {
		said.After = err.Error()
	}
	return said
}
