package maildir

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
)

// fileName returns the name of the file that one mailbox's copy of a message has in
// new/. It depends on nothing but the message and the mailbox. The form is that of the
// Maildir convention: seconds, a unique part, the host.
func (t *Target) fileName(id mail.ID, mailbox mail.Address) string {
	return t.named(id, mailbox.Key())
}

// formerName returns the name that a version before this one gave the copy of one
// recipient: it wrote one for each.
func (t *Target) formerName(id mail.ID, to nexthop.Recipient) string {
	return t.named(id, to.Mailbox.Key()+"\x00"+to.Address.String()+"\x00"+to.Detail)
}

func (t *Target) named(id mail.ID, what string) string {
	sum := sha256.Sum256([]byte(what))
	return fmt.Sprintf("%d.%s-%s.%s", id.Time().Unix(), id, hex.EncodeToString(sum[:6]), t.hostname)
}

// hostOctets is how much of the host's name goes into a file name. The rest of the
// name needs 49 octets, a name in tmp/ 34 more, readers append their flags, and a
// file system takes 255.
const hostOctets = 128

func shorten(host string) string { return host[:min(len(host), hostOctets)] }

// Mailbox returns the folder of an account's mailbox below the root, whether it
// exists yet or not. ok is false for an address that has no domain.
func (t *Target) Mailbox(account mail.Address) (dir string, ok bool) { return Folder(t.root, account) }

// Folder returns the folder of an account's mailbox below a root, whether it exists yet or
// not. ok is false for an address that has no domain.
func Folder(root string, account mail.Address) (dir string, ok bool) {
	domain := account.Domain()
	if domain.IsZero() {
		return "", false
	}
	return filepath.Join(root, domain.ASCII(), escape(mail.FoldLocal(account.Local()))), true
}

// escape turns a local-part into a file name: an allow-list of octets stands for
// itself, every other octet becomes "%" and two hexadecimal digits. Of a name that no
// file system takes the end is a digest, behind "%=", which stands in no other. Two
// local-parts never share a name, and no name begins with a dot or holds a
// separator.
func escape(local string) string {
	name := escapeAll(local)
	if len(name) <= maxNameOctets {
		return name
	}
	sum := sha256.Sum256([]byte(local))
	return name[:maxNameOctets/2] + "%=" + hex.EncodeToString(sum[:])
}

// maxNameOctets bounds the name of a mailbox's folder; a file system takes 255.
const maxNameOctets = 200

func escapeAll(local string) string {
	var b strings.Builder
	for i := range len(local) {
		if c := local[i]; isPlain(c) && (c != '.' || i > 0) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func isPlain(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("._+-", c) >= 0
}
