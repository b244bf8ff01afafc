// Package renewal hands a header of the check's answer to the client: `forwardAuth` can put it on the request only.
// It comes right after `forwardAuth`, which has taken away what the client itself had sent under that name.
package renewal

import (
	"context"
	"errors"
	"net/http"
)

// Config is what dynamic.yml says.
type Config struct {
	// Header is Keyturn's ACCESS_TOKEN_HEADER.
	Header string `json:"header,omitempty"`
}

// CreateConfig makes the configuration where nothing is said.
func CreateConfig() *Config {
	return &Config{}
}

type renewal struct {
	next   http.Handler
	header string
}

// New is called by Traefik.
func New(_ context.Context, next http.Handler, config *Config, _ string) (http.Handler, error) {
	if config.Header == "" {
		return nil, errors.New("header is missing")
	}
	return &renewal{next: next, header: config.Header}, nil
}

func (r *renewal) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	token := req.Header.Get(r.header)
	// The API has no use for it.
	req.Header.Del(r.header)
	if token != "" {
		rw.Header().Set(r.header, token)
		// A shared cache that takes the answer for public would hand the token to others. What the API says is added to this,
		// and cannot take it back.
		rw.Header().Set("Cache-Control", "no-store")
	}
	r.next.ServeHTTP(rw, req)
}
