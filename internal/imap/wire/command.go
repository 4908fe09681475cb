package wire

import (
	"encoding/base64"
	"math"
	"strings"
)

// Command is one command.
type Command struct {
	Tag  string
	Verb string // in capitals, without UID
	UID  bool   // it began with UID, and speaks of UIDs
	Args Args   // nil: the verb has none
}

// Args are the arguments of a command: one of the types of this package that a
// comment calls arguments.
type Args interface{ arguments() }

type (
	// Login has the arguments of LOGIN.
	Login struct{ User, Password string }
	// Authenticate has the arguments of AUTHENTICATE. RFC 4959.
	Authenticate struct {
		Mechanism string
		Initial   []byte // nil: none was given; empty: an empty one was
	}
	// ID has what a program tells of itself, names in small letters. RFC 2971.
	ID struct{ Fields map[string]string }
	// Enable has the names, in capitals. RFC 5161.
	Enable struct{ Names []string }
	// Compress is COMPRESS DEFLATE, which is all there is of it. RFC 4978.
	Compress struct{}
	// Mailbox has the one name of DELETE, SUBSCRIBE and UNSUBSCRIBE.
	Mailbox struct{ Name string }
	// Create has the arguments of CREATE. RFC 6154 §3.
	Create struct {
		Name string
		Use  []string // special uses asked for, with their backslash, as in RFC 6154
	}
	// Rename has the arguments of RENAME.
	Rename struct{ From, To string }
	// Select has the arguments of SELECT and EXAMINE.
	Select struct {
		Name      string
		CondStore bool     // RFC 7162 §3.1.8
		QResync   *QResync // nil: not asked for
	}
	// QResync is what a client remembers of a mailbox. RFC 7162 §3.2.5.
	QResync struct {
		Validity uint32
		ModSeq   uint64
		Known    []Range // UIDs; empty: all
		// Seqs and UIDs belong together: pairs that the client remembers.
		Seqs, UIDs []Range
	}
	// Status has the arguments of STATUS.
	Status struct {
		Name  string
		Items []string // in capitals
	}
	// Copy has the arguments of COPY and MOVE.
	Copy struct {
		Set Set
		To  string
	}
	// Quota has the argument of GETQUOTA: the name of a quota root. RFC 9208 §4.1.1.
	Quota struct{ Root string }
	// QuotaRoot has the argument of GETQUOTAROOT. RFC 9208 §4.1.2.
	QuotaRoot struct{ Name string }
	// Expunge has the arguments of UID EXPUNGE. RFC 4315.
	Expunge struct{ Set Set }
	// Batches has the arguments of UIDBATCHES: how many messages a batch has, and which of the batches are
	// asked for, from 1 on. RFC 10022.
	Batches struct{ Size, From, To uint32 }
	// Store has the arguments of STORE.
	Store struct {
		Set    Set
		Op     StoreOp
		Silent bool
		Flags  []string
		// Conditional: nothing is to change that has changed since UnchangedSince. RFC 7162 §3.1.3.
		Conditional    bool
		UnchangedSince uint64
	}
)

// StoreOp says what becomes of the flags of a message.
type StoreOp uint8

// What STORE does.
const (
	StoreSet StoreOp = iota
	StoreAdd
	StoreRemove
)

func (Login) arguments()        {}
func (Authenticate) arguments() {}
func (ID) arguments()           {}
func (Enable) arguments()       {}
func (Mailbox) arguments()      {}
func (Compress) arguments()     {}
func (Create) arguments()       {}
func (Rename) arguments()       {}
func (Select) arguments()       {}
func (Status) arguments()       {}
func (Copy) arguments()         {}
func (Expunge) arguments()      {}
func (Batches) arguments()      {}
func (Quota) arguments()        {}
func (QuotaRoot) arguments()    {}
func (Store) arguments()        {}
func (List) arguments()         {}
func (Fetch) arguments()        {}
func (Search) arguments()       {}

// verbs says how the arguments of each command are read; nil: there are none.
var verbs = map[string]func(*scanner) Args{
	"CAPABILITY": nil, "NOOP": nil, "LOGOUT": nil, "STARTTLS": nil, "CHECK": nil, "CLOSE": nil, "UNSELECT": nil,
	"EXPUNGE": nil, "IDLE": nil, "NAMESPACE": nil,
	"LOGIN": (*scanner).login, "AUTHENTICATE": (*scanner).authenticate, "ID": (*scanner).id,
	"ENABLE": (*scanner).enable, "COMPRESS": (*scanner).compress,
	"DELETE": (*scanner).named, "SUBSCRIBE": (*scanner).named, "UNSUBSCRIBE": (*scanner).named,
	"CREATE": (*scanner).create, "RENAME": (*scanner).rename, "SELECT": (*scanner).selects, "EXAMINE": (*scanner).selects,
	"STATUS": (*scanner).status, "LIST": (*scanner).lists, "LSUB": (*scanner).lists,
	"COPY": (*scanner).copies, "MOVE": (*scanner).copies, "STORE": (*scanner).store, "FETCH": (*scanner).fetch,
	"SEARCH": (*scanner).search, "SORT": (*scanner).sort, "THREAD": (*scanner).thread,
	"UIDBATCHES": (*scanner).batches, "GETQUOTA": (*scanner).quota, "GETQUOTAROOT": (*scanner).quotaRoot,
}

// uidVerbs are those that may follow UID. RFC 9051 §6.4.9.
var uidVerbs = map[string]bool{
	"COPY": true, "MOVE": true, "STORE": true, "FETCH": true, "SEARCH": true, "EXPUNGE": true, "SORT": true,
	"THREAD": true, "REPLACE": true,
}

// Parse reads one whole command, with its literals and its line end; utf8 says that the
// client has enabled UTF-8. Whatever b is, it takes time that grows with its length. The
// Fault is nil if the Command is good, and bears the tag if there is one.
func Parse(b []byte, utf8 bool, l Limits) (Command, *Fault) {
	s := &scanner{b: b, limits: l, utf8: utf8}
	c := s.command()
	if s.fault != nil {
		s.fault.Tag = c.Tag
		return Command{Tag: c.Tag, Verb: c.Verb}, s.fault
	}
	return c, nil
}

// head takes tag and verb.
func (s *scanner) head() (c Command) {
	c.Tag = s.tag()
	if s.space(); !s.ok() {
		c.Tag = ""
		return c
	}
	c.Verb = s.word()
	if c.Verb == "UID" {
		c.UID = true
		s.space()
		if c.Verb = s.word(); s.ok() && !uidVerbs[c.Verb] {
			s.fail("unknown command behind UID")
		}
	}
	return c
}

func (s *scanner) command() (c Command) {
	c = s.head()
	read, known := verbs[c.Verb]
	switch {
	case !s.ok():
		return c
	case !known:
		s.fail("unknown command")
		return c
	case c.UID && c.Verb == "EXPUNGE":
		read = (*scanner).expunge
	}
	if read != nil {
		s.space()
		c.Args = read(s)
	}
	s.end()
	return c
}

func (s *scanner) login() Args {
	user := s.astring()
	s.space()
	return Login{User: user, Password: s.astring()}
}

func (s *scanner) authenticate() Args {
	a := Authenticate{Mechanism: s.word()}
	if !s.accept(' ') {
		return a
	}
	if s.accept('=') { // RFC 4959 §3: an empty response
		a.Initial = []byte{}
		return a
	}
	text := s.while(isBase64, "base64")
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		s.fail("the initial response is no base64")
		return a
	}
	a.Initial = raw
	return a
}

func isBase64(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '+' || c == '/' || c == '='
}

// ParseResponse reads the client's answer to a challenge of AUTHENTICATE, without its line
// end: cancelled is "*". RFC 9051 §6.2.2.
func ParseResponse(line []byte) (response []byte, cancelled bool, f *Fault) {
	switch string(line) {
	case "*":
		return nil, true, nil
	case "", "=":
		return []byte{}, false, nil
	}
	raw, err := base64.StdEncoding.DecodeString(string(line))
	if err != nil {
		return nil, false, &Fault{Text: "the response is no base64"}
	}
	return raw, false, nil
}

// AppendChallenge writes a challenge of AUTHENTICATE.
func AppendChallenge(b, challenge []byte) []byte {
	b = append(b, "+ "...)
	b = base64.StdEncoding.AppendEncode(b, challenge)
	return append(b, "\r\n"...)
}

func (s *scanner) id() Args {
	out := ID{Fields: map[string]string{}}
	if s.acceptWord("NIL") {
		return out
	}
	s.list(func() {
		name := strings.ToLower(s.str())
		s.space()
		if value, ok := s.nstring(); ok {
			out.Fields[name] = value
		}
	})
	return out
}

func (s *scanner) enable() Args {
	var out Enable
	for s.ok() {
		if out.Names = append(out.Names, s.word()); len(out.Names) > s.limits.Items {
			s.fail("too many names")
		}
		if s.atEnd() || !s.accept(' ') || s.atEnd() {
			break
		}
	}
	return out
}

func (s *scanner) compress() Args {
	if s.word() != "DEFLATE" {
		s.fail("unknown compression")
	}
	return Compress{}
}

func (s *scanner) named() Args { return Mailbox{Name: s.mailbox()} }

func (s *scanner) quota() Args { return Quota{Root: s.astring()} }

func (s *scanner) quotaRoot() Args { return QuotaRoot{Name: s.mailbox()} }

// batches: without a range, all are asked for.
func (s *scanner) batches() Args {
	out := Batches{Size: s.number32(true), From: 1, To: math.MaxUint32}
	if s.accept(' ') {
		out.From = s.number32(true)
		s.expect(':')
		out.To = s.number32(true)
	}
	return out
}

func (s *scanner) create() Args {
	// RFC 3501 §6.3.3: a separator at the end says that there will be folders below.
	out := Create{Name: strings.TrimSuffix(s.mailbox(), "/")}
	if !s.accept(' ') {
		return out
	}
	s.list(func() {
		if w := s.word(); w != "USE" {
			s.fail("unknown option of CREATE")
		}
		s.space()
		s.list(func() {
			s.expect('\\')
			out.Use = append(out.Use, `\`+s.atom())
		})
	})
	return out
}

func (s *scanner) rename() Args {
	from := s.mailbox()
	s.space()
	return Rename{From: from, To: strings.TrimSuffix(s.mailbox(), "/")}
}

func (s *scanner) selects() Args {
	out := Select{Name: s.mailbox()}
	if !s.accept(' ') {
		return out
	}
	s.list(func() {
		switch w := s.word(); w {
		case "CONDSTORE":
			out.CondStore = true
		case "QRESYNC":
			s.space()
			out.QResync = s.qresync()
		case "":
		default:
			s.fail("unknown option of SELECT")
		}
	})
	return out
}

// qresync: RFC 7162 §3.2.5 and §7.
func (s *scanner) qresync() *QResync {
	var q QResync
	s.expect('(')
	q.Validity = s.number32(true)
	s.space()
	q.ModSeq = uint64(s.number())
	if s.accept(' ') && s.peek() != '(' {
		q.Known = s.set().Ranges
		s.accept(' ')
	}
	if s.accept('(') {
		q.Seqs = s.set().Ranges
		s.space()
		q.UIDs = s.set().Ranges
		s.expect(')')
	}
	s.expect(')')
	return &q
}

func (s *scanner) status() Args {
	out := Status{Name: s.mailbox()}
	s.space()
	out.Items = s.statusItems()
	return out
}

// statusNames are what STATUS may ask for, and LIST of each mailbox. RFC 9051 §6.3.11, RFC 3501, RFC
// 7162, RFC 7889, RFC 8438, RFC 8474, RFC 9208.
var statusNames = map[string]bool{
	"MESSAGES": true, "RECENT": true, "UNSEEN": true, "DELETED": true, "UIDNEXT": true, "UIDVALIDITY": true, "SIZE": true,
	"DELETED-STORAGE": true, "HIGHESTMODSEQ": true, "APPENDLIMIT": true, "MAILBOXID": true,
}

func (s *scanner) statusItems() (out []string) {
	s.list(func() {
		w := s.word()
		if out = append(out, w); !statusNames[w] {
			s.fail("unknown item of STATUS")
		}
	})
	if s.ok() && len(out) == 0 {
		s.fail("STATUS must ask for something")
	}
	return out
}

func (s *scanner) copies() Args {
	set := s.set()
	s.space()
	return Copy{Set: set, To: s.mailbox()}
}

func (s *scanner) expunge() Args { return Expunge{Set: s.set()} }

// store: RFC 9051 §6.4.6, RFC 7162 §3.1.3.
func (s *scanner) store() Args {
	out := Store{Set: s.set()}
	s.space()
	if s.accept('(') {
		if w := s.word(); w != "UNCHANGEDSINCE" {
			s.fail("unknown option of STORE")
		}
		s.space()
		out.Conditional, out.UnchangedSince = true, uint64(s.number())
		s.expect(')')
		s.space()
	}
	switch {
	case s.accept('+'):
		out.Op = StoreAdd
	case s.accept('-'):
		out.Op = StoreRemove
	}
	switch w := s.word(); w {
	case "FLAGS":
	case "FLAGS.SILENT":
		out.Silent = true
	default:
		s.fail("unknown data item of STORE")
	}
	s.space()
	out.Flags = s.flags()
	return out
}
