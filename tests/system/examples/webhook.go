// What External Secrets Operator's webhook provider does with a store: it fills the templates, for the URL with escaped data, asks,
// and takes a value out of the answer. The store is in a file, as JSON; what is pushed comes from standard input.
//
//	webhook STORE TOKEN CA get KEY [VERSION]
//	webhook STORE TOKEN CA push REMOTE_KEY [SECRET_KEY]
//	webhook STORE TOKEN CA delete REMOTE_KEY
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/template"
	"time"

	"github.com/Masterminds/sprig"
)

type store struct {
	URL     string
	Body    string
	Headers map[string]string
	Secrets []struct{ Name string }
	Result  struct{ JSONPath string }
	Timeout string
}

type fields map[string]map[string]string

func fail(what string, details ...any) {
	fmt.Fprintf(os.Stderr, what+"\n", details...)
	os.Exit(1)
}

func must[T any](value T, err error) T {
	if err != nil {
		fail("%v", err)
	}
	return value
}

func fill(text string, data fields) string {
	var filled strings.Builder
	parsed := must(template.New("").Funcs(sprig.TxtFuncMap()).Parse(text))
	if err := parsed.Execute(&filled, data); err != nil {
		fail("%v", err)
	}
	return filled.String()
}

func escaped(data fields) fields {
	out := fields{"remoteRef": {}}
	for name, value := range data["remoteRef"] {
		out["remoteRef"][name] = url.QueryEscape(value)
	}
	for name, values := range data {
		if name != "remoteRef" {
			out[name] = values
		}
	}
	return out
}

func main() {
	var s store
	if err := json.Unmarshal(must(os.ReadFile(os.Args[1])), &s); err != nil {
		fail("%v", err)
	}
	token, ca, call, key := os.Args[2], must(os.ReadFile(os.Args[3])), os.Args[4], os.Args[5]
	last := ""
	if len(os.Args) > 6 {
		last = os.Args[6]
	}
	data, method, body := fields{}, http.MethodGet, true
	switch call {
	case "get":
		data["remoteRef"] = map[string]string{"key": key, "version": last, "property": "", "namespace": "shop"}
	case "push":
		method = http.MethodPost
		data["remoteRef"] = map[string]string{"remoteKey": key}
		if last != "" {
			data["remoteRef"]["secretKey"] = last
		}
		data["remoteRef"][key] = string(must(io.ReadAll(os.Stdin)))
	case "delete":
		// No data of the store's secrets, and no body.
		method, body = http.MethodDelete, false
		data["remoteRef"] = map[string]string{"remoteKey": key}
	}
	if call != "delete" {
		for _, secret := range s.Secrets {
			data[secret.Name] = map[string]string{"token": token}
		}
	}

	var content bytes.Buffer
	if body {
		content.WriteString(fill(s.Body, data))
	}
	request := must(http.NewRequest(method, fill(s.URL, escaped(data)), &content))
	for name, text := range s.Headers {
		request.Header.Add(name, fill(text, data))
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	client := http.Client{
		Timeout:   must(time.ParseDuration(s.Timeout)),
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}},
	}
	response := must(client.Do(request))
	answer := must(io.ReadAll(response.Body))
	switch {
	case response.StatusCode == http.StatusNotFound:
		fail("Secret does not exist")
	case response.StatusCode < 200 || response.StatusCode > 299:
		fail("endpoint gave error %s", response.Status)
	case call == "get":
		// The one kind of path that the example has.
		name := strings.TrimPrefix(s.Result.JSONPath, "$.")
		var object map[string]any
		if err := json.Unmarshal(answer, &object); err != nil {
			fail("%v", err)
		}
		value, found := object[name].(string)
		if !found {
			fail("no %s in the answer", name)
		}
		fmt.Print(value)
	}
}
