package milter

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"sallyport/internal/mail"
)

// Reader gives the body of a message.
type Reader = io.Reader

// conversation is one message shown to one filter.
type conversation struct {
	r      *bufio.Reader
	w      *bufio.Writer
	l      Limits
	m      Message
	n      negotiated
	values map[string]string
	got    int // packets
	octets int // of added fields
	advice Advice
	done   bool // the filter has decided
	skip   bool // it wants no more of the body
}

func newConversation(rw io.ReadWriter, l Limits, m Message) *conversation {
	return &conversation{r: bufio.NewReader(rw), w: bufio.NewWriter(rw), l: l, m: m, values: m.macros()}
}

// run goes through the protocol until the filter has decided.
func (s *conversation) run(body io.Reader) (Advice, error) {
	if err := s.negotiate(); err != nil {
		return Advice{}, err
	}
	for _, step := range []func() error{s.envelope, s.header, func() error { return s.body(body) }, s.end} {
		if err := step(); err != nil {
			return Advice{}, err
		}
		if s.done {
			break
		}
	}
	if writePacket(s.w, cmdQuit, nil) == nil {
		_ = s.w.Flush() // a filter that is gone has said all it had to say
	}
	return s.advice, nil
}

func (s *conversation) negotiate() error {
	if err := writePacket(s.w, cmdNegotiate, negotiation()); err != nil {
		return err
	}
	p, err := s.receive()
	if err != nil {
		return fmt.Errorf("%w, in the negotiation: it does not go on with what this server offers, or speaks no milter protocol", err)
	}
	s.n, err = parseNegotiation(p)
	return err
}

// send sends the macros of a stage, where it has any, and a command.
func (s *conversation) send(at stage, macros bool, cmd byte, data []byte) error {
	if macros {
		names, chosen := s.n.lists[at]
		if !chosen {
			names = choice(at)
		}
		if p := packMacros(cmd, names, s.values); len(p) > 1 {
			if err := writePacket(s.w, cmdMacro, p); err != nil {
				return err
			}
		}
	}
	return writePacket(s.w, cmd, data)
}

// step sends a command that the filter can have left out, and reads its answer, which
// it can leave out too.
func (s *conversation) step(name string, at stage, macros bool, cmd byte, data []byte, unwanted, silent uint32) error {
	if s.done || unwanted != 0 && s.n.asked(unwanted) {
		return nil
	}
	if err := s.send(at, macros, cmd, data); err != nil || silent != 0 && s.n.asked(silent) {
		return err
	}
	return s.answer(name)
}

func (s *conversation) receive() (packet, error) {
	if err := s.w.Flush(); err != nil {
		return packet{}, fmt.Errorf("milter: %w", err)
	}
	if s.got++; s.got > s.l.Packets {
		return packet{}, errors.New("milter: it does not stop answering")
	}
	return readPacket(s.r, s.l.PacketOctets)
}

func (s *conversation) envelope() error {
	if err := s.step("connect", stageConnect, true, cmdConnect, s.m.connectInfo(), noConnect, nrConnect); err != nil {
		return err
	}
	if err := s.step("HELO", stageHelo, true, cmdHelo, texts(s.m.Hello), noHelo, nrHelo); err != nil {
		return err
	}
	if err := s.step("MAIL", stageMail, true, cmdMail, texts(s.m.From.String()), noMail, nrMail); err != nil {
		return err
	}
	for _, to := range s.m.To {
		s.values["{rcpt_addr}"], s.values["{rcpt_host}"] = to.Address.String(), to.Address.Domain().ASCII()
		if err := s.step("RCPT", stageRcpt, true, cmdRcpt, texts("<"+to.Address.String()+">"), noRcpt, nrRcpt); err != nil {
			return err
		}
	}
	return s.step("DATA", stageData, true, cmdData, nil, noData, nrData)
}

func (s *conversation) header() error {
	for _, f := range s.m.Fields {
		value := strings.ReplaceAll(f.Value, "\r\n", "\n")
		if !s.n.asked(leadingSpace) {
			value = strings.TrimPrefix(value, " ")
		}
		name, value, whole := fitting(f.Name, value)
		if !whole {
			s.advice.Cut++
		}
		if err := s.step("header", stageData, false, cmdHeader, texts(name, value), noHeaders, nrHeader); err != nil {
			return err
		}
	}
	return s.step("end of header", stageEOH, true, cmdEOH, nil, noEOH, nrEOH)
}

// fitting returns as much of a field as one packet holds with the NULs that end both texts,
// and whether that is all of it.
func fitting(name, value string) (n, v string, whole bool) {
	const room = mostData - 2
	n = name[:min(len(name), room)]
	v = value[:min(len(value), room-len(n))]
	return n, v, len(n)+len(v) == len(name)+len(value)
}

func (s *conversation) body(r io.Reader) error {
	if s.n.asked(noBody) {
		return nil
	}
	chunk := make([]byte, mostData)
	for !s.done && !s.skip {
		n, err := io.ReadFull(r, chunk)
		if n > 0 {
			if err := s.step("body", stageEnd, false, cmdBody, chunk[:n], 0, nrBody); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return fmt.Errorf("milter: reading the message: %w", err)
		}
	}
	return nil
}

// end asks for the verdict, which changes may precede.
func (s *conversation) end() error {
	if err := s.send(stageEnd, true, cmdEnd, nil); err != nil {
		return err
	}
	for !s.done {
		p, err := s.receive()
		if err != nil {
			return err
		}
		known, err := s.change(p)
		switch {
		case err != nil:
			return err
		case known:
		case p.cmd == rspContinue:
			s.decide(Accept, "end of message", mail.Reply{})
		default:
			if err := s.judge("end of message", p); err != nil {
				return err
			}
		}
	}
	return nil
}

// answer reads the answer to a command before the end.
func (s *conversation) answer(name string) error {
	for {
		p, err := s.receive()
		switch {
		case err != nil:
			return err
		case p.cmd == rspProgress:
			continue
		case p.cmd == rspContinue:
			return nil
		case p.cmd == rspSkip && name == "body" && s.n.asked(skip):
			s.skip = true
			return nil
		}
		return s.judge(name, p)
	}
}

// judge reads a verdict.
func (s *conversation) judge(name string, p packet) error {
	switch p.cmd {
	case rspAccept:
		s.decide(Accept, name, mail.Reply{})
	case rspReject:
		s.decide(Reject, name, mail.Reply{})
	case rspTempFail, rspShutdown, rspConnFail:
		s.decide(TempFail, name, mail.Reply{})
	case rspDiscard:
		s.decide(Discard, name, mail.Reply{})
	case rspReplyCode:
		r, err := parseReply(p.data)
		if err != nil {
			return err
		}
		if r.Class() == mail.ClassPermanent {
			s.decide(Reject, name, r)
		} else {
			s.decide(TempFail, name, r)
		}
	case rspProgress:
		return nil
	default:
		return fmt.Errorf("milter: it answers %q to %s", p.cmd, name)
	}
	return nil
}

// decide ends the conversation. A message that is in quarantine stays there when the
// filter is done with it.
func (s *conversation) decide(a Action, stage string, r mail.Reply) {
	if a != Accept || s.advice.Action != Quarantine {
		s.advice.Action = a
	}
	s.advice.Stage, s.advice.Reply, s.done = stage, r, true
}

// change notes a change that the filter asks for; false: the packet is none.
func (s *conversation) change(p packet) (bool, error) {
	data, needs := p.data, uint32(0)
	switch p.cmd {
	case rspQuarantine:
		reason, err := cutTexts(data, 1)
		if err != nil {
			return true, err
		}
		needs, s.advice.Action, s.advice.Reason = actQuarantine, Quarantine, reason[0]
	case rspAddHeader, rspInsHeader, rspChgHeader:
		needs = actAddHeaders
		if p.cmd != rspAddHeader {
			if len(data) < 4 {
				return true, errors.New("milter: a change of a header field is cut short")
			}
			data = data[4:]
		}
		t, err := cutTexts(data, 2)
		if err != nil {
			return true, err
		}
		if p.cmd == rspChgHeader {
			needs = actChgHeaders
			s.undone(fmt.Sprintf("change of field %s %d", mail.Printable(t[0], mail.NameShown), binary.BigEndian.Uint32(p.data)))
			break
		}
		s.add(Field{t[0], t[1]})
	default:
		what, bit := declined(p)
		if bit == 0 {
			return false, nil
		}
		needs = bit
		s.undone(what)
	}
	if s.n.actions&needs == 0 {
		return true, fmt.Errorf("milter: it does what was not negotiated (%q)", p.cmd)
	}
	return true, nil
}

// add takes a field, or notes that there is no room for it: a sender may have a hand in how much
// a filter has to say, and must not silence it so.
func (s *conversation) add(f Field) {
	if octets := s.octets + len(f.Name) + len(f.Value); len(s.advice.Fields) < s.l.Fields && octets <= s.l.FieldOctets {
		s.octets = octets
	} else {
		s.undone("added field " + mail.Printable(f.Name, mail.NameShown) + " (there are too many, or it is too long)")
		return
	}
	f.Value = strings.ReplaceAll(strings.ReplaceAll(f.Value, "\r\n", "\n"), "\n", "\r\n")
	if !s.n.asked(leadingSpace) {
		f.Value = " " + f.Value
	}
	s.advice.Fields = append(s.advice.Fields, f)
}

// declined says in words what a filter wants changed that no filter may change here, and
// which action that is; 0: it is something else. Each octet of what it sends is dropped.
func declined(p packet) (what string, needs uint32) {
	text := func() string {
		first, _, _ := strings.Cut(string(p.data), "\x00")
		return " " + mail.Printable(first, mail.NameShown)
	}
	switch p.cmd {
	case rspReplBody:
		return "another body", actChgBody
	case rspChgFrom:
		return "change of the sender to" + text(), actChgFrom
	case rspAddRcpt:
		return "added recipient" + text(), actAddRcpt
	case rspAddRcptPar:
		return "added recipient" + text(), actAddRcptPar
	case rspDelRcpt:
		return "removed recipient" + text(), actDelRcpt
	}
	return "", 0
}

// undone notes a change that is not made. A body comes in many pieces, and is one.
func (s *conversation) undone(what string) {
	if n := len(s.advice.Undone); n < s.l.Fields && (n == 0 || s.advice.Undone[n-1] != what) {
		s.advice.Undone = append(s.advice.Undone, what)
	}
}

// parseReply reads "550 5.7.1 text", possibly of several lines, the first of which
// counts. Anything but a 4xx or a 5xx is an error.
func parseReply(data []byte) (mail.Reply, error) {
	t, err := cutTexts(data, 1)
	if err != nil {
		return mail.Reply{}, err
	}
	line, _, _ := strings.Cut(t[0], "\r\n")
	if len(line) < 3 || len(line) >= 4 && line[3] != ' ' && line[3] != '-' {
		return mail.Reply{}, fmt.Errorf("milter: a malformed reply: %s", mail.Printable(line, mail.NameShown))
	}
	code, err := strconv.Atoi(line[:3])
	if err != nil || code < 400 || code > 599 {
		return mail.Reply{}, fmt.Errorf("milter: a reply that refuses nothing: %s", mail.Printable(line, mail.NameShown))
	}
	r := mail.Reply{Code: code}
	rest := ""
	if len(line) >= 5 {
		rest = line[4:]
	}
	e, text, ok := mail.ParseEnhanced(rest)
	if ok && int(e.Class) == code/100 {
		r.Enhanced, rest = e, text
	}
	r.Text = strings.TrimSpace(mail.PlainLine(rest, maxReply))
	return r, nil
}

// maxReply bounds the words of a filter in a reply.
const maxReply = 300
