package sluice

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"os"
	"sync"
)

// tokenVariable hands the token to the processes that a driver starts.
const tokenVariable = "SLUICE_BENCH_TOKEN"

// token is that of a run, made once.
var token = sync.OnceValues(func() (string, error) {
	if t := os.Getenv(tokenVariable); t != "" {
		return t, nil
	}
	b := make([]byte, 32)
	rand.Read(b) // never fails (crypto/rand)
	t := "slt_" + base64.RawURLEncoding.EncodeToString(b)
	return t, os.Setenv(tokenVariable, t)
})

// TokenFiles are what a member needs to let the driver in: the files, with DIR
// for their folder.
func TokenFiles(files map[string]string) (map[string]string, error) {
	t, err := token()
	if err != nil {
		return nil, err
	}
	files["tokens"] = "bench editor " + t + "\n"
	files["etc/tokens.properties"] = "sluice.admin.tokenFile = DIR/tokens\n"
	return files, nil
}

// TokenOf is the token, for a command.
func TokenOf() (string, error) { return token() }

// Authorize adds the token to a request.
func Authorize(req *http.Request) error {
	t, err := token()
	req.Header.Set("Authorization", "Bearer "+t)
	return err
}
