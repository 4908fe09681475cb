package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The header fields of a request. Standard Webhooks 1.0, "Webhook headers"
const (
	headerID        = "Webhook-Id"
	headerTime      = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

// sign returns the value of the signature field: one signature by each key, so that a receiver who
// knows one of them is content while they are changed. Standard Webhooks 1.0, "Signature scheme":
// HMAC-SHA256 over identifier, time and body, with full stops between.
func sign(keys [][]byte, id string, at time.Time, body []byte) string {
	var all []string
	for _, key := range keys {
		mac := hmac.New(sha256.New, key)
		fmt.Fprintf(mac, "%s.%d.", id, at.Unix())
		mac.Write(body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(all, " ")
}

func seconds(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }
