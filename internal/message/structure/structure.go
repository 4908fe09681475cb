package structure

// Span is where octets lie in the file, and how long they are with CRLF at each line's end.
type Span struct {
	Start, End int64 // in the file as it is stored
	Size       int64 // told as CRLF
	Lines      int64 // ends of lines
}

// Structure is what is told about a message. It is immutable.
type Structure struct {
	// Envelope is that of the message itself.
	Envelope Envelope
	// Part is the message as a part: its header section, its body and what is in it.
	Part Part
}

// Size returns the octets of the whole message as CRLF (RFC822.SIZE).
func (s Structure) Size() int64 { return s.Part.Header.Size + s.Part.Body.Size }

// Part is a part of a message, or a whole one.
type Part struct {
	// Type and Subtype are the media type in small letters. RFC 2045 §5.1. A multipart without
	// a boundary is told as text, and what lies deeper than the bounds as application/octet-stream.
	Type, Subtype string
	// Params are the parameters of the media type as they are written, unfolded and unquoted:
	// readers undo RFC 2231 themselves.
	Params []Param
	// ID and Description are Content-ID and Content-Description as they are written.
	ID, Description Text
	// Encoding is the transfer encoding in small letters, "7bit" if none is named. RFC 2045 §6.1.
	Encoding string
	// MD5 and Location are Content-MD5 and Content-Location. RFC 1864, RFC 2557.
	MD5, Location Text
	// Disposition is Content-Disposition, nil if there is none. RFC 2183.
	Disposition *Disposition
	// Languages is Content-Language. RFC 3282.
	Languages []string

	// Header is the header section with the empty line that ends it: of a part, its MIME header.
	Header Span
	// Body is what follows, up to the line end that belongs to the next boundary.
	Body Span

	// Parts are those of a multipart, at least one; nil of all others.
	Parts []Part
	// Message is the message in a message/rfc822 or message/global, nil of all others.
	Message *Structure
}

// Multipart reports whether the part has parts.
func (p *Part) Multipart() bool { return len(p.Parts) > 0 }

// Param is a parameter, its name in small letters.
type Param struct{ Name, Value string }

// Disposition says how a part is meant to be shown, its type in small letters. RFC 2183 §2.
type Disposition struct {
	Type   string
	Params []Param
}

// Text is a field that may be absent: an absent one is NIL, an empty one the empty string.
// RFC 9051 §7.5.2.
type Text struct {
	Value string
	Given bool
}

// Envelope is the ENVELOPE of a message. Texts are as they are written, unfolded: encoded words
// stay. RFC 9051 §7.5.2.
type Envelope struct {
	Date, Subject Text
	From          []Address
	Sender        []Address // From, if absent or empty
	ReplyTo       []Address // From, if absent or empty
	To, Cc, Bcc   []Address
	InReplyTo     Text
	MessageID     Text
}

// AddressKind says what an Address stands for.
type AddressKind uint8

const (
	// Mailbox is an address.
	Mailbox AddressKind = iota
	// GroupBegin begins a group, whose name is in Address.Mailbox; Host is NIL.
	GroupBegin
	// GroupEnd ends it; all is NIL.
	GroupEnd
)

// Address is an element of an address field. Name and Route are NIL where they are empty.
type Address struct {
	Kind    AddressKind
	Name    string // the display name, unquoted, encoded words as they are; a comment if there is none
	Route   string // of the obsolete form, with its @. RFC 5322 §4.4
	Mailbox string // the local part, unquoted
	Host    string // empty where the address has no domain
}
