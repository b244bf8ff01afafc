// Verifies an access token of Keyturn with its public keys. Not run by the tests.
//
//	go get github.com/golang-jwt/jwt/v5 github.com/MicahParks/keyfunc/v3
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

func verify(raw string, keys keyfunc.Keyfunc, issuer, audience string) (jwt.MapClaims, error) {
	claims := jwt.MapClaims{}
	token, err := jwt.ParseWithClaims(raw, claims, keys.Keyfunc,
		jwt.WithValidMethods([]string{"RS256"}),
		jwt.WithIssuer(issuer),
		jwt.WithAudience(audience),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(5*time.Second))
	if err != nil {
		return nil, err
	}
	if token.Header["typ"] != "at+jwt" {
		return nil, errors.New("typ is not at+jwt")
	}
	return claims, nil
}

func main() {
	issuer, audience := os.Getenv("ISSUER"), os.Getenv("AUDIENCE")
	if issuer == "" || audience == "" {
		fmt.Fprintln(os.Stderr, "set ISSUER and AUDIENCE")
		os.Exit(2)
	}
	// One for the process: it keeps the keys, and looks again when a token names one it does not have.
	keys, err := keyfunc.NewDefault([]string{issuer + "/.well-known/jwks.json"})
	if err != nil {
		fail(err)
	}
	raw, err := io.ReadAll(os.Stdin)
	if err != nil {
		fail(err)
	}
	claims, err := verify(strings.TrimSpace(string(raw)), keys, issuer, audience)
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(claims); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "refused:", err)
	os.Exit(1)
}
