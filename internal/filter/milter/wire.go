package milter

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// The commands that we send, the replies that we understand, and the numbers of the
// negotiation, as libmilter's mfdef.h names them.
const (
	cmdNegotiate = 'O'
	cmdMacro     = 'D'
	cmdConnect   = 'C'
	cmdHelo      = 'H'
	cmdMail      = 'M'
	cmdRcpt      = 'R'
	cmdData      = 'T'
	cmdHeader    = 'L'
	cmdEOH       = 'N'
	cmdBody      = 'B'
	cmdEnd       = 'E'
	cmdQuit      = 'Q'

	rspContinue   = 'c'
	rspAccept     = 'a'
	rspReject     = 'r'
	rspDiscard    = 'd'
	rspTempFail   = 't'
	rspReplyCode  = 'y'
	rspConnFail   = 'f'
	rspShutdown   = '4'
	rspSkip       = 's'
	rspProgress   = 'p'
	rspAddHeader  = 'h'
	rspInsHeader  = 'i'
	rspChgHeader  = 'm'
	rspQuarantine = 'q'
	rspReplBody   = 'b'
	rspChgFrom    = 'e'
	rspAddRcpt    = '+'
	rspAddRcptPar = '2'
	rspDelRcpt    = '-'

	actAddHeaders = 0x01
	actChgBody    = 0x02
	actAddRcpt    = 0x04
	actDelRcpt    = 0x08
	actChgHeaders = 0x10
	actQuarantine = 0x20
	actChgFrom    = 0x40
	actAddRcptPar = 0x80
	actSymList    = 0x100

	// What a filter can ask us to leave out, and replies that it can leave out.
	noConnect, noHelo, noMail, noRcpt, noBody = 0x01, 0x02, 0x04, 0x08, 0x10
	noHeaders, noEOH, noUnknown, noData, skip = 0x20, 0x40, 0x100, 0x200, 0x400
	nrHeader, nrConnect, nrHelo, nrMail       = 0x80, 0x1000, 0x2000, 0x4000
	nrRcpt, nrData, nrUnknown, nrEOH, nrBody  = 0x8000, 0x10000, 0x20000, 0x40000, 0x80000
	leadingSpace                              = 0x100000
	// rejectedRcpts asks to be shown recipients that were refused; here there are none.
	rejectedRcpts = 0x800

	// The command of DATA came with the version in the middle: a library of an older one may
	// hang up where it comes.
	protocolOldest, protocolWithData, protocolNewest = 2, 4, 6

	// offeredActions is all there is. libmilter hangs up where one bit is missing that a
	// filter asked for, and most ask for more than they use: what may not be done is
	// declined when it is asked for.
	offeredActions = actAddHeaders | actChgBody | actAddRcpt | actDelRcpt | actChgHeaders | actQuarantine |
		actChgFrom | actAddRcptPar | actSymList
	offeredProtocol = noConnect | noHelo | noMail | noRcpt | noBody | noHeaders | noEOH | noUnknown | noData | skip |
		nrHeader | nrConnect | nrHelo | nrMail | nrRcpt | nrData | nrUnknown | nrEOH | nrBody | leadingSpace | rejectedRcpts

	// mostData is the most octets that one packet holds behind its command: libmilter hangs up
	// at a longer one, and would have no say about the message.
	mostData = 65535
)

// packet is one message of the protocol.
type packet struct {
	cmd  byte
	data []byte
}

func writePacket(w *bufio.Writer, cmd byte, data []byte) error {
	var head [5]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(data)+1))
	head[4] = cmd
	if _, err := w.Write(head[:]); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

// readPacket reads a packet of at most limit octets.
func readPacket(r io.Reader, limit int) (packet, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return packet{}, fmt.Errorf("milter: reading a reply: %w", err)
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > uint32(limit) {
		return packet{}, fmt.Errorf("milter: a packet of %d octets", n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return packet{}, fmt.Errorf("milter: reading a reply: %w", err)
	}
	return packet{b[0], b[1:]}, nil
}

// texts packs strings, each with the NUL that ends it. None may hold one.
func texts(all ...string) []byte {
	var b []byte
	for _, s := range all {
		b = append(append(b, strings.ReplaceAll(s, "\x00", "?")...), 0)
	}
	return b
}

// cutTexts reads exactly n strings.
func cutTexts(b []byte, n int) ([]string, error) {
	var out []string
	for range n {
		i := bytes.IndexByte(b, 0)
		if i < 0 {
			return nil, fmt.Errorf("milter: a text without its end")
		}
		out, b = append(out, string(b[:i])), b[i+1:]
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("milter: %d octets behind a text", len(b))
	}
	return out, nil
}

// negotiated is what both sides will do.
type negotiated struct {
	actions, protocol uint32
	lists             map[stage][]string // macros that the filter wants; nil: our own choice
}

// negotiation is what we offer.
func negotiation() []byte {
	b := binary.BigEndian.AppendUint32(nil, protocolNewest)
	b = binary.BigEndian.AppendUint32(b, offeredActions)
	return binary.BigEndian.AppendUint32(b, offeredProtocol)
}

// parseNegotiation reads what the filter chose from it.
func parseNegotiation(p packet) (negotiated, error) {
	if p.cmd != cmdNegotiate || len(p.data) < 12 {
		return negotiated{}, fmt.Errorf("milter: it does not negotiate, and answers %q", p.cmd)
	}
	version := binary.BigEndian.Uint32(p.data)
	n := negotiated{
		actions: binary.BigEndian.Uint32(p.data[4:]), protocol: binary.BigEndian.Uint32(p.data[8:]),
		lists: map[stage][]string{},
	}
	switch {
	case version < protocolOldest || version > protocolNewest:
		return negotiated{}, fmt.Errorf("milter: it speaks version %d of the protocol", version)
	case n.actions&^offeredActions != 0:
		return negotiated{}, fmt.Errorf("milter: it wants actions that were not offered ( %#x)", n.actions&^offeredActions)
	case n.protocol&^offeredProtocol != 0:
		return negotiated{}, fmt.Errorf("milter: it wants steps of the protocol that were not offered (%#x)", n.protocol&^offeredProtocol)
	}
	if version < protocolWithData {
		n.protocol |= noData
	}
	for rest := p.data[12:]; len(rest) > 0; {
		if len(rest) < 4 {
			return negotiated{}, fmt.Errorf("milter: a list of macros is cut short")
		}
		at := stage(binary.BigEndian.Uint32(rest))
		i := bytes.IndexByte(rest[4:], 0)
		if i < 0 || at > stageEOH {
			return negotiated{}, fmt.Errorf("milter: a list of macros is malformed")
		}
		n.lists[at] = strings.FieldsFunc(string(rest[4:4+i]), func(c rune) bool { return c == ' ' || c == ',' })
		rest = rest[4+i+1:]
	}
	return n, nil
}

// asked reports whether the filter set a flag of the protocol.
func (n negotiated) asked(flag uint32) bool { return n.protocol&flag != 0 }
