// Command lab is an HTTP server and an HTTP client of Go's standard library that know of no mesh.
//
//	lab serve ADDRESS
//	lab get URL
//
// The server echoes: what it answers is known from what it was asked. The client checks every answer and prints "ok".
package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

const (
	uploadBytes = 3 << 20
	together    = 16
	each        = 25
)

func main() {
	if len(os.Args) != 3 {
		fail(fmt.Errorf("usage: lab serve ADDRESS | lab get URL"))
	}
	switch os.Args[1] {
	case "serve":
		fail(http.ListenAndServe(os.Args[2], http.HandlerFunc(echo)))
	case "get":
		if err := get(os.Args[2]); err != nil {
			fail(err)
		}
		fmt.Println("ok")
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// echo answers a request without a body with its path, and one with a body with the body's SHA-256.
func echo(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/missing" {
		http.Error(w, "nothing here", http.StatusNotFound)
		return
	}
	hash := sha256.New()
	count, err := io.Copy(hash, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if count > 0 {
		fmt.Fprintf(w, "%d %x\n", count, hash.Sum(nil))
		return
	}
	fmt.Fprintf(w, "%s %s %s\n", r.Method, r.Host, r.URL.Path)
}

func get(url string) error {
	client := &http.Client{Timeout: 20 * time.Second}
	var group sync.WaitGroup
	errors := make(chan error, together)
	for number := range together {
		group.Go(func() { errors <- many(client, url, number) })
	}
	group.Wait()
	for range together {
		if err := <-errors; err != nil {
			return err
		}
	}
	return upload(client, url)
}

func many(client *http.Client, url string, number int) error {
	for round := range each {
		path := fmt.Sprintf("/%d/%d", number, round)
		answer, err := client.Get(url + path)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			return err
		}
		want := fmt.Sprintf("GET %s %s\n", answer.Request.URL.Host, path)
		if answer.StatusCode != http.StatusOK || string(body) != want {
			return fmt.Errorf("GET %s: %s %q, want %q", path, answer.Status, body, want)
		}
	}
	return nil
}

func upload(client *http.Client, url string) error {
	sent := bytes.Repeat([]byte("amime"), uploadBytes/5)
	// A reader of no known length is sent in chunks.
	answer, err := client.Post(url+"/upload", "application/octet-stream", io.MultiReader(bytes.NewReader(sent)))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	want := fmt.Sprintf("%d %x\n", len(sent), sha256.Sum256(sent))
	if string(body) != want {
		return fmt.Errorf("upload: %q, want %q", body, want)
	}
	return nil
}
