package server

import (
	"time"

	"sallyport/internal/mailbox"
	"sallyport/internal/message/structure"
)

// source is a message that is opened as far as something asked for it.
type source struct {
	f         *fetching
	uid       mailbox.UID
	content   *mailbox.Content
	structure *structure.Structure
}

func (s *source) open() (*mailbox.Content, error) {
	if s.content == nil {
		content, err := s.f.box.mb.Content(s.f.ctx, s.uid)
		if err != nil {
			return nil, err
		}
		s.content = content
	}
	return s.content, nil
}

// parsed reads the message for what is not known of it, and keeps it open: more may be asked.
func (s *source) parsed() (*structure.Structure, error) {
	if s.structure != nil {
		return s.structure, nil
	}
	st, known, err := s.f.box.mb.Parsed(s.uid)
	if !known && err == nil {
		var content *mailbox.Content
		if content, err = s.open(); err == nil {
			st, err = content.Structure()
		}
	}
	if err != nil {
		return nil, err
	}
	s.structure = &st
	return s.structure, nil
}

// envelope returns that of the message. Nothing else of what is kept of it is read.
func (s *source) envelope() (*structure.Envelope, error) {
	if s.structure == nil {
		if e, known, err := s.f.box.mb.Envelope(s.uid); known || err != nil {
			return &e, err
		}
	}
	st, err := s.parsed()
	if err != nil {
		return nil, err
	}
	return &st.Envelope, nil
}

// subject returns that of the message, as envelope does.
func (s *source) subject() (string, error) {
	if s.structure == nil {
		if subject, known, err := s.f.box.mb.Subject(s.uid); known || err != nil {
			return subject.Value, err
		}
	}
	st, err := s.parsed()
	if err != nil {
		return "", err
	}
	return st.Envelope.Subject.Value, nil
}

// octets returns how long the message is. Where more is asked that makes us read it, it is read
// once.
func (s *source) octets() (int64, error) {
	if s.f.parses {
		if _, err := s.parsed(); err != nil {
			return 0, err
		}
	}
	if s.content != nil {
		return s.content.Size(), nil
	}
	return s.f.box.mb.Size(s.f.ctx, s.uid)
}

// came returns when the message came.
func (s *source) came() (time.Time, error) { return s.f.box.mb.Date(s.f.ctx, s.uid) }

func (s *source) close() {
	if s.content != nil {
		_ = s.content.Close()
	}
}
