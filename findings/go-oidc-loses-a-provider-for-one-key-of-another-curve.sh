#!/usr/bin/env bash
# packages: github.com/go-jose/go-jose/v4 v4.1.4, github.com/coreos/go-oidc/v3 v3.21.0 (Go modules)
# versions: go-jose 4.1.4, go-oidc 3.21.0
# behaviour: an implementation should ignore the keys of a set "that use kty values that are not understood, that are missing required members, or
#   for which values are out of the supported ranges" (RFC 7517 section 5). Of a set with one key whose kty or curve it does not know, go-jose's
#   JSONWebKeySet tells an error. go-oidc passes over such a key where its kty is unknown to go-jose, or its curve beside kty OKP (X25519, Ed448); but a key of kty EC
#   on a curve that is not NIST's, as secp256k1 of RFC 8812, voids the whole set: no token of that provider verifies any more, though the
#   key that signed it stands in the set and is named by the token.
# usual guess: a key of a kind that is not understood is as good as not there, whichever of its members says so.
# what follows: sallyport reads the set itself and each key alone, so that a provider may add a key of any kind or curve without locking people out.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module try

go 1.25.0

require (
	github.com/coreos/go-oidc/v3 v3.21.0
	github.com/go-jose/go-jose/v4 v4.1.4
)
MOD
cat >main.go <<'GO'
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func main() {
	private := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	signs := must(json.Marshal(jose.JSONWebKey{Key: private.Public(), KeyID: "signs", Algorithm: "ES256", Use: "sig"}))
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: private, KeyID: "signs"}}, nil))
	token := must(must(signer.Sign([]byte(`{"sub":"a"}`))).CompactSerialize())
	for _, beside := range []struct{ what, key string }{
		{"another EC key of P-256", string(signs)},
		{"an Ed448 key", `{"kty":"OKP","crv":"Ed448","kid":"x","x":"X9dEm1m0Yf0s54fsYWrUah2hNCSFpw4fig6nXYDpZ3jt8SR2m0bHBhvWeD3x5Q9s0foavvJwWKeA"}`},
		{"an X25519 key that encrypts", `{"kty":"OKP","crv":"X25519","kid":"x","use":"enc","x":"3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08"}`},
		{"a secp256k1 key", `{"kty":"EC","crv":"secp256k1","kid":"x","x":"MqDlVTr-HLn8l5JGbZHxWuiRTzbjwOzKmSXhMfXOYHs","y":"VmmXnLD7QhXuZ6R-5nCQGmkt1gK6nZyxGGDuUcTIqBk"}`},
		{"a key of kty AKP", `{"kty":"AKP","alg":"ML-DSA-44","kid":"x","pub":"AAAA"}`},
	} {
		text := `{"keys":[` + string(signs) + `,` + beside.key + `]}`
		var set jose.JSONWebKeySet
		err := json.Unmarshal([]byte(text), &set)
		fmt.Printf("beside %s: go-jose reads %d keys, %v\n", beside.what, len(set.Keys), err)
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }))
		_, err = oidc.NewRemoteKeySet(context.Background(), s.URL).VerifySignature(context.Background(), token)
		fmt.Printf("beside %s: go-oidc verifies: %v\n", beside.what, err == nil)
		s.Close()
	}
}
GO
go mod tidy >/dev/null 2>&1
GOFLAGS=-mod=mod go run . | tee out
grep -qx 'beside another EC key of P-256: go-jose reads 2 keys, <nil>' out
for kind in 'an X25519 key that encrypts' 'an Ed448 key' 'a key of kty AKP'; do
	grep -qx "beside $kind: go-jose reads 2 keys, go-jose/go-jose: unsupported key type/format" out
	grep -qx "beside $kind: go-oidc verifies: true" out
done
grep -qx "beside a secp256k1 key: go-jose reads 2 keys, go-jose/go-jose: unsupported elliptic curve 'secp256k1'" out
grep -qx 'beside a secp256k1 key: go-oidc verifies: false' out
