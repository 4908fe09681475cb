package mailbox

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"sallyport/internal/imap/wire"
)

// Separator parts the levels of folder names. On the disk it is a dot, as Maildir++ says.
const Separator = "/"

// Inbox is the folder that always is.
const Inbox = "INBOX"

// maxDirectory is how long the name of a folder may be on the disk; a file system takes 255.
const maxDirectory = 250

// directory returns how a folder is called on the disk; "" is the mailbox itself. A dot within
// a level is encoded, since it would begin another.
func directory(name string, l Limits) (string, error) {
	if strings.EqualFold(name, Inbox) {
		return "", nil
	}
	bad := func(why string) (string, error) { return "", &NameError{name, why} }
	if !utf8.ValidString(name) {
		return bad("it is not UTF-8")
	}
	levels := strings.Split(name, Separator)
	if len(levels) > l.Depth {
		return bad(fmt.Sprintf("it has more than %d levels", l.Depth))
	}
	var b strings.Builder
	for i, level := range levels {
		switch {
		case level == "":
			return bad("a level of it is empty")
		case strings.ContainsFunc(level, unicode.IsControl), strings.ContainsAny(level, "\u2028\u2029"):
			return bad("it has a character that cannot be printed") // RFC 9051 §5.1
		case strings.ContainsAny(level, "*%"):
			return bad("* and % stand for any name")
		case i == 0 && len(levels) > 1 && strings.EqualFold(level, Inbox):
			level = Inbox
		}
		b.WriteString("." + encodeLevel(level))
	}
	if b.Len() > maxDirectory {
		return bad("it is too long")
	}
	return b.String(), nil
}

// dot is a dot within a level, which modified UTF-7 would leave as it is.
const dot = "&AC4-"

func encodeLevel(level string) string {
	parts := strings.Split(level, ".")
	for i, p := range parts {
		parts[i] = wire.EncodeName(p)
	}
	return strings.Join(parts, dot)
}

func decodeLevel(level string) (string, error) {
	parts := strings.Split(level, dot)
	for i, p := range parts {
		decoded, err := wire.DecodeName(p)
		if err != nil {
			return "", err
		}
		parts[i] = decoded
	}
	return strings.Join(parts, "."), nil
}

// folderName returns how a folder of the disk is called. Names that are no modified UTF-7, as
// those of Courier, are taken as they stand. What is below the INBOX, in whatever letters the disk has it, is
// called so: programs name it in any (RFC 9051 §5.1).
func folderName(dir string) string {
	var levels []string
	for level := range strings.SplitSeq(strings.TrimPrefix(dir, "."), ".") {
		decoded, err := decodeLevel(level)
		if err != nil || strings.Contains(decoded, Separator) {
			decoded = strings.ToValidUTF8(level, "\ufffd")
			decoded = strings.NewReplacer(Separator, "_", "*", "_", "%", "_").Replace(decoded)
		}
		levels = append(levels, strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return '\ufffd'
			}
			return r
		}, decoded))
	}
	if len(levels) > 1 && strings.EqualFold(levels[0], Inbox) {
		levels[0] = Inbox
	}
	return strings.Join(levels, Separator)
}

// isFolder reports whether a name within a mailbox is that of a Maildir++ folder. Dovecot calls
// what it is about to remove ..DOVECOT-TRASHED, and no level is empty.
func isFolder(dir string) bool {
	return len(dir) > 1 && dir[0] == '.' && !strings.Contains(dir, "..") && !strings.HasSuffix(dir, ".")
}

// named gives each folder of the disk a name of its own: where two would be called the same, as
// where one program wrote UTF-7 and another UTF-8, those that are called otherwise on the disk
// than we would call them get a number. The order of dirs does not matter.
func named(dirs []string, l Limits) map[string]string {
	names := map[string]string{Inbox: ""}
	var others []string
	for _, dir := range dirs {
		name := folderName(dir)
		if ours, err := directory(name, l); err == nil && ours == dir {
			names[name] = dir
		} else {
			others = append(others, dir)
		}
	}
	slices.Sort(others)
	for _, dir := range others {
		name := folderName(dir)
		for n := 2; ; n++ {
			_, taken := names[name]
			if !taken && !strings.EqualFold(name, Inbox) {
				break
			}
			name = fmt.Sprintf("%s~%d", folderName(dir), n)
		}
		names[name] = dir
	}
	return names
}
