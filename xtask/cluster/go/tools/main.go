// Command tools is what the pods of a test cluster run: `pause` keeps a pod's namespaces, `echo` answers what it was asked as JSON,
// over HTTP/1 and HTTP/2 without TLS. Of Go's own library alone, so that it is one static file without anything else.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const bodyBound = 1 << 20

func main() {
	mode := "pause"
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	switch mode {
	case "pause":
		pause()
	case "echo":
		if err := echo(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "echo:", err)
			os.Exit(1)
		}
	default:
		fmt.Fprintln(os.Stderr, "usage: tools pause | tools echo [PORT...]")
		os.Exit(2)
	}
}

// pause waits for its end, and takes the exit of processes that lost their parent when the pod shares its process namespace.
func pause() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for got := range signals {
		if got != syscall.SIGCHLD {
			return
		}
		for {
			pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if pid <= 0 || err != nil {
				break
			}
		}
	}
}

// echo serves on the named ports (8080) until it is told to stop; then it is unready for STOP_DELAY, answers what is under way, and
// ends.
func echo(ports []string) error {
	if len(ports) == 0 {
		ports = []string{"8080"}
	}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	failed := make(chan error, len(ports))
	var servers []*http.Server
	for _, port := range ports {
		server := newServer(port, stop)
		servers = append(servers, server)
		go func() { failed <- server.ListenAndServe() }()
	}
	select {
	case err := <-failed:
		return err
	case <-stop.Done():
	}
	delay, _ := time.ParseDuration(os.Getenv("STOP_DELAY"))
	time.Sleep(delay)
	limit, end := context.WithTimeout(context.Background(), 20*time.Second)
	defer end()
	for _, server := range servers {
		if err := server.Shutdown(limit); err != nil && !errors.Is(err, http.ErrServerClosed) {
			return err
		}
	}
	return nil
}

type answer struct {
	Pod       string              `json:"pod"`
	Namespace string              `json:"namespace,omitempty"`
	Name      string              `json:"name,omitempty"`
	Method    string              `json:"method"`
	Path      string              `json:"path"`
	Query     string              `json:"query,omitempty"`
	Host      string              `json:"host"`
	Protocol  string              `json:"protocol"`
	Port      string              `json:"port"`
	Peer      string              `json:"peer"`
	Headers   map[string][]string `json:"headers"`
	Body      string              `json:"body,omitempty"`
	Count     uint64              `json:"count"`
}

var count atomic.Uint64

func newServer(port string, stop context.Context) *http.Server {
	routes := http.NewServeMux()
	routes.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	routes.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if stop.Err() != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	routes.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { serve(w, r, port) })
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Addr: ":" + port, Handler: routes, Protocols: protocols, ReadHeaderTimeout: 30 * time.Second,
	}
}

// serve answers as the query asks: `status` is the answer's status, `delay` what it waits first, `header` (`name:value`) is added.
func serve(w http.ResponseWriter, r *http.Request, port string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyBound))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	query := r.URL.Query()
	if delay, err := time.ParseDuration(query.Get("delay")); err == nil {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
			return
		}
	}
	for _, header := range query["header"] {
		if name, value, found := strings.Cut(header, ":"); found {
			w.Header().Add(name, value)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if status, err := strconv.Atoi(query.Get("status")); err == nil && status >= 200 && status < 600 {
		w.WriteHeader(status)
	}
	host, _ := os.Hostname()
	if name := os.Getenv("POD_NAME"); name != "" {
		host = name
	}
	_ = json.NewEncoder(w).Encode(answer{
		Pod: host, Namespace: os.Getenv("POD_NAMESPACE"), Name: os.Getenv("NAME"), Method: r.Method, Path: r.URL.Path,
		Query: r.URL.RawQuery, Host: r.Host, Protocol: r.Proto, Port: port, Peer: r.RemoteAddr, Headers: r.Header,
		Body: string(body), Count: count.Add(1),
	})
}
