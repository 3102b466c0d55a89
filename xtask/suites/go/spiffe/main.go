// Command spiffe asks a Workload API as any program on go-spiffe does, and says what came of each case: a line `passed NAME: …` or
// `FAILED NAME: …`. With -endpoint it fetches a bundle endpoint as a foreign trust domain does.
package main

import (
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

type asked struct {
	socket   workloadapi.ClientOption
	id       spiffeid.ID
	roots    string
	endpoint string
}

func main() {
	socket := flag.String("socket", "", "the Workload API, unix:///PATH")
	id := flag.String("id", "", "the SPIFFE id that is expected")
	roots := flag.String("roots", "", "PEM file of the trust domain's roots")
	endpoint := flag.String("endpoint", "", "URL of the bundle endpoint, profile https_spiffe; without it that case is left out")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
	defer cancel()
	given := asked{workloadapi.WithAddr(*socket), spiffeid.RequireFromString(*id), *roots, *endpoint}
	failed := false
	for _, one := range []struct {
		name string
		run  func(context.Context, asked) (string, error)
	}{
		{"x509-svid", x509SVID},
		{"x509-bundles", x509Bundles},
		{"jwt-svid", jwtSVID},
		{"jwt-for-another", jwtForAnother},
		{"mtls", mutualTLS},
		{"bundle-endpoint", bundleEndpoint},
		{"rotation", rotation},
	} {
		if one.name == "bundle-endpoint" && *endpoint == "" {
			continue
		}
		got, err := one.run(ctx, given)
		if err != nil {
			failed = true
			fmt.Printf("FAILED %s: %v\n", one.name, err)
			continue
		}
		fmt.Printf("passed %s: %s\n", one.name, got)
	}
	if failed {
		os.Exit(1)
	}
}

func x509SVID(ctx context.Context, given asked) (string, error) {
	svid, err := workloadapi.FetchX509SVID(ctx, given.socket)
	if err != nil {
		return "", err
	}
	if svid.ID != given.id {
		return "", fmt.Errorf("the SVID is of %s", svid.ID)
	}
	return fmt.Sprintf("%s, a chain of %d", svid.ID, len(svid.Certificates)), nil
}

func x509Bundles(ctx context.Context, given asked) (string, error) {
	bundles, err := workloadapi.FetchX509Bundles(ctx, given.socket)
	if err != nil {
		return "", err
	}
	bundle, err := bundles.GetX509BundleForTrustDomain(given.id.TrustDomain())
	if err != nil {
		return "", err
	}
	pinned, err := x509bundle.Load(given.id.TrustDomain(), given.roots)
	if err != nil {
		return "", err
	}
	if !bundle.Equal(pinned) {
		return "", errors.New("its roots are not those of the authority")
	}
	return fmt.Sprintf("%d roots", len(bundle.X509Authorities())), nil
}

func jwtSVID(ctx context.Context, given asked) (string, error) {
	svid, err := workloadapi.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "orders", ExtraAudiences: []string{"bank"}}, given.socket)
	if err != nil {
		return "", err
	}
	bundles, err := workloadapi.FetchJWTBundles(ctx, given.socket)
	if err != nil {
		return "", err
	}
	for _, audience := range []string{"orders", "bank"} {
		here, err := jwtsvid.ParseAndValidate(svid.Marshal(), jwtbundle.Source(bundles), []string{audience})
		if err != nil {
			return "", fmt.Errorf("by go-spiffe: %w", err)
		}
		there, err := workloadapi.ValidateJWTSVID(ctx, svid.Marshal(), audience, given.socket)
		if err != nil {
			return "", fmt.Errorf("by the Workload API: %w", err)
		}
		if here.ID != given.id || there.ID != given.id {
			return "", fmt.Errorf("it is of %s and %s", here.ID, there.ID)
		}
	}
	return "until " + svid.Expiry.Format(time.RFC3339), nil
}

func jwtForAnother(ctx context.Context, given asked) (string, error) {
	svid, err := workloadapi.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "orders"}, given.socket)
	if err != nil {
		return "", err
	}
	if _, err := workloadapi.ValidateJWTSVID(ctx, svid.Marshal(), "somebody", given.socket); err == nil {
		return "", errors.New("a token for orders holds for somebody")
	}
	other := spiffeid.RequireFromPath(given.id.TrustDomain(), "/ns/other/sa/other")
	if _, err := workloadapi.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "orders", Subject: other}, given.socket); err == nil {
		return "", errors.New("a token of somebody else was given")
	}
	return "refused", nil
}

// Two connections of the program to itself, each end with its SVID from the Workload API.
func mutualTLS(ctx context.Context, given asked) (string, error) {
	source, err := workloadapi.NewX509Source(ctx, workloadapi.WithClientOptions(given.socket))
	if err != nil {
		return "", err
	}
	defer source.Close()
	mode := spiffetls.MTLSServerWithSource(tlsconfig.AuthorizeID(given.id), source)
	listener, err := spiffetls.ListenWithMode(ctx, "tcp", "127.0.0.1:0", mode)
	if err != nil {
		return "", err
	}
	defer listener.Close()
	go func() {
		if conn, err := listener.Accept(); err == nil {
			serve(conn)
		}
	}()
	dial := spiffetls.MTLSClientWithSource(tlsconfig.AuthorizeID(given.id), source)
	conn, err := spiffetls.DialWithMode(ctx, "tcp", listener.Addr().String(), dial)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	answer := make([]byte, 2)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return "", err
	}
	return string(answer), nil
}

func serve(conn net.Conn) {
	defer conn.Close()
	_, _ = conn.Write([]byte("ok"))
}

func bundleEndpoint(ctx context.Context, given asked) (string, error) {
	pinned, err := x509bundle.Load(given.id.TrustDomain(), given.roots)
	if err != nil {
		return "", err
	}
	server := spiffeid.RequireFromPath(given.id.TrustDomain(), "/ns/amime-system/sa/mesh-ca")
	bundle, err := federation.FetchBundle(ctx, given.id.TrustDomain(), given.endpoint, federation.WithSPIFFEAuth(pinned, server))
	if err != nil {
		return "", err
	}
	return complete(bundle, pinned.X509Authorities())
}

func complete(bundle *spiffebundle.Bundle, roots []*x509.Certificate) (string, error) {
	if len(bundle.X509Authorities()) != len(roots) || len(bundle.JWTAuthorities()) == 0 {
		return "", fmt.Errorf("%d roots and %d keys of tokens", len(bundle.X509Authorities()), len(bundle.JWTAuthorities()))
	}
	sequence, isThere := bundle.SequenceNumber()
	hint, isHinted := bundle.RefreshHint()
	if !isThere || !isHinted {
		return "", errors.New("it has no sequence number or no refresh hint")
	}
	return fmt.Sprintf("sequence %d, refresh %s", sequence, hint), nil
}

// Waits until the source has another certificate than at first, without having asked again.
func rotation(ctx context.Context, given asked) (string, error) {
	source, err := workloadapi.NewX509Source(ctx, workloadapi.WithClientOptions(given.socket))
	if err != nil {
		return "", err
	}
	defer source.Close()
	first, err := source.GetX509SVID()
	if err != nil {
		return "", err
	}
	for {
		select {
		case <-ctx.Done():
			return "", errors.New("no other certificate came")
		case <-source.Updated():
		}
		next, err := source.GetX509SVID()
		if err != nil {
			return "", err
		}
		if next.Certificates[0].SerialNumber.Cmp(first.Certificates[0].SerialNumber) != 0 {
			return "another certificate, with another key", sameID(next.ID, first.ID)
		}
	}
}

func sameID(one, other spiffeid.ID) error {
	if one != other {
		return fmt.Errorf("%s became %s", other, one)
	}
	return nil
}
