package bundle

import (
	"fmt"
	"strings"
	"time"

	"sallyport/internal/mail"
)

// page says what the bundle is and how it is checked.
func (c Contents) page(files []File) string {
	var b strings.Builder
	i := c.Incident
	fmt.Fprintf(&b, `Evidence of incident %d of the mail server %s

account     %s
contained   %s by %s
because     %s
told since  %s
made        %s
`, i.Number, c.Hostname.ASCII(), line(i.Account.String()), stamp(i.At), line(i.By), line(i.Reason), stamp(c.Since), stamp(c.Made))
	for _, e := range i.Evidence {
		fmt.Fprintf(&b, "evidence    %s\n", line(e))
	}
	if c.Notice != "" {
		fmt.Fprintf(&b, `
The server is configured to tell everybody who connects, in its greeting:

    %s
`, line(c.Notice))
	}
	b.WriteString(`
WHAT IS HERE

timeline.txt, timeline.jsonl   what the server recorded of the account, for people and programs
incident.json                  the incident as it was kept
headers/                       header sections of messages; no bodies
`)
	if c.Cut {
		b.WriteString("The log has more about the account than fits in here: a shorter time shows it whole.\n")
	}
	if c.MoreHeld > 0 {
		fmt.Fprintf(&b, "The header sections of %d more messages are left out.\n", c.MoreHeld)
	}
	b.WriteString("A message that has left is in the timeline; its header section is not kept.\n")
	for _, f := range files {
		if strings.HasPrefix(f.Name, reportFolder) {
			b.WriteString(reportsText)
			break
		}
	}
	b.WriteString(checkText(Fingerprint(c.PEM)))
	if len(c.Proofs) > 0 {
		b.WriteString(proofText)
	}
	return b.String()
}

const reportsText = `
abuse/ has a report for each network whence the account was used, with nobody to send it to:
*.eml are messages in the form of RFC 5965, *.txt tell of sign-ins alone. Nothing was sent. Read
them, take out what is the owner's own network, find the contact (whois ADDRESS, the line
abuse-mailbox or OrgAbuseEmail), and send them as a person.
`

func checkText(fingerprint string) string {
	return `
HOW TO CHECK IT

No server and no network is needed; sha256sum, openssl 3 and python3 are. In this folder:

1. Is the key the server's? Compare, over another way than the one on which this bundle came,

    sha256sum public.pem

   with what the administrator tells. It should be
   ` + fingerprint + `

2. Did that key sign the list of files? "Signature Verified Successfully":

    openssl pkeyutl -verify -pubin -inkey public.pem -rawin -in SHA256SUMS -sigfile SHA256SUMS.sig

3. Is every file what was signed? "OK" behind each:

    sha256sum --check --strict SHA256SUMS
`
}

const proofText = `
4. Did the log's key sign the state of the log? The Ed25519 key of the log is the same one:

    openssl pkeyutl -verify -pubin -inkey public.pem -rawin -in checkpoint.txt -sigfile checkpoint.sig

5. Is each fact in that state of the log? verify.py is short; read it, then

    python3 verify.py

   proofs.jsonl has a fact as it was recorded, its SHA-256 hash and the hashes beside its way
   to the root (RFC 6962, section 2.1.1). A fact without octets was forgotten by age; its hash
   stays in the log.

The proofs show that these facts are in the log in their order, and that the log was in that
state. That nothing was put in the place of it since, a checkpoint shows that somebody else
kept: the server writes them out as it goes. "checkpoint" is a signed note of the form
tlog-checkpoint, and public.txt its verifier key.
`

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// line is text of others in one line.
func line(s string) string { return mail.ShownLine(s, maxLine) }

// maxLine bounds one text of others in a page or report.
const maxLine = 1000
