// Asks Keyturn what an access token is worth at the moment; the standard library is enough. Not run by the tests.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

var errRefused = errors.New("refused")
var client = http.Client{Timeout: 5 * time.Second}

// The claims; errRefused if the token is refused, and any other error where that cannot be told.
func introspect(issuer, clientID, clientSecret, token string) (map[string]any, error) {
	form := url.Values{"token": {token}, "client_id": {clientID}, "client_secret": {clientSecret}}
	response, err := client.PostForm(issuer+"/oauth/introspect", form)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, errors.New(response.Status)
	}
	var claims map[string]any
	if err := json.NewDecoder(response.Body).Decode(&claims); err != nil {
		return nil, err
	}
	if claims["active"] != true || claims["token_type"] != "Bearer" {
		return nil, errRefused
	}
	return claims, nil
}

func main() {
	issuer, id, secret := os.Getenv("ISSUER"), os.Getenv("CLIENT_ID"), os.Getenv("CLIENT_SECRET")
	if issuer == "" || id == "" || secret == "" {
		fail(2, "set ISSUER, CLIENT_ID and CLIENT_SECRET")
	}
	raw, err := io.ReadAll(os.Stdin)
	if err != nil {
		fail(2, err)
	}
	claims, err := introspect(issuer, id, secret, strings.TrimSpace(string(raw)))
	if errors.Is(err, errRefused) {
		fail(1, err)
	}
	if err != nil {
		fail(3, fmt.Errorf("unknown: %w", err))
	}
	if err := json.NewEncoder(os.Stdout).Encode(claims); err != nil {
		fail(2, err)
	}
}

func fail(code int, what any) {
	fmt.Fprintln(os.Stderr, what)
	os.Exit(code)
}
