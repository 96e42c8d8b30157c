// Reads a secret, and reads it again when it has changed:
//
//	read_secret NAME [SECONDS]     SECONDS pass between two looks, 60 by default
//
// JARVIS_SECRETSD_ADDR (http://127.0.0.1:8081), JARVIS_SECRETSD_CLIENT and JARVIS_SECRETSD_TOKEN name the
// daemon and the client.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

type secret struct {
	Kid   string
	Value string
}

// printable is what an answer says, as a terminal may show it.
func printable(text string) string {
	return strings.Map(func(character rune) rune {
		if character < ' ' || character > '~' {
			return '?'
		}
		return character
	}, text)
}

// useSecret does what the value is for, as connecting to a database.
func useSecret(name string, current secret) {
	if current.Value != "" {
		fmt.Printf("%s: %s\n", name, printable(current.Kid))
	}
}

// ask returns the answer with its body. A redirect is not followed: the daemon sends none.
func ask(client *http.Client, name, etag string) (*http.Response, []byte, error) {
	address := os.Getenv("JARVIS_SECRETSD_ADDR")
	if address == "" {
		address = "http://127.0.0.1:8081"
	}
	request, err := http.NewRequest("GET", address+"/secret/"+name, nil)
	if err != nil {
		return nil, nil, err
	}
	request.Header.Set("X-Jarvis-Client", os.Getenv("JARVIS_SECRETSD_CLIENT"))
	request.Header.Set("Authorization", "Bearer "+os.Getenv("JARVIS_SECRETSD_TOKEN"))
	if etag != "" {
		request.Header.Set("If-None-Match", etag)
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer, body, err
}

func watch(name string, pause time.Duration) error {
	client := &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	etag := ""
	for {
		answer, body, err := ask(client, name, etag)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: no answer: %v\n", name, err)
			time.Sleep(time.Second)
			continue
		}
		switch answer.StatusCode {
		case http.StatusOK:
			var current secret
			if err := json.Unmarshal(body, &current); err != nil {
				return err
			}
			etag = answer.Header.Get("ETag")
			useSecret(name, current)
		case http.StatusNotModified:
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			fmt.Fprintf(os.Stderr, "%s: %s\n", name, printable(string(body)))
			seconds, err := strconv.Atoi(answer.Header.Get("Retry-After"))
			if err != nil {
				return err
			}
			time.Sleep(time.Duration(seconds) * time.Second)
			continue
		default:
			return fmt.Errorf("%s", printable(string(body)))
		}
		time.Sleep(pause)
	}
}

func main() {
	pause := time.Minute
	if len(os.Args) == 3 {
		seconds, err := strconv.Atoi(os.Args[2])
		if err != nil {
			fmt.Fprintln(os.Stderr, "SECONDS: must be a number")
			os.Exit(2)
		}
		pause = time.Duration(seconds) * time.Second
	}
	if len(os.Args) != 2 && len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: read_secret NAME [SECONDS]")
		os.Exit(2)
	}
	if err := watch(os.Args[1], pause); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}
