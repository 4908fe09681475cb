package replay

import (
	"iter"
	"time"

	"sallyport/internal/hijack"
)

// Book is a hijack.Book in memory. What is not in it is looked up in the one below it,
// which it never changes: a thief's mail goes into a book of its own.
type Book struct {
	below *Book
	cards map[hijack.Fingerprint]*card
	site  map[hijack.Fingerprint]time.Time
}

// card is everybody that one knows, in the order in which they met.
type card struct {
	order []hijack.Fingerprint
	since map[hijack.Fingerprint]time.Time
}

// newBook returns an empty book on top of another, or of none.
func newBook(below *Book) *Book {
	return &Book{below: below, cards: map[hijack.Fingerprint]*card{}, site: map[hijack.Fingerprint]time.Time{}}
}

// Since tells since when one knows the other.
func (b *Book) Since(one, other hijack.Fingerprint) (time.Time, bool) {
	for ; b != nil; b = b.below {
		if c := b.cards[one]; c != nil {
			if at, ok := c.since[other]; ok {
				return at, true
			}
		}
	}
	return time.Time{}, false
}

// Site tells when somebody of the site first wrote to who.
func (b *Book) Site(who hijack.Fingerprint) (time.Time, bool) {
	for ; b != nil; b = b.below {
		if at, ok := b.site[who]; ok {
			return at, true
		}
	}
	return time.Time{}, false
}

// Known yields everybody that who knows: the oldest acquaintances first.
func (b *Book) Known(who hijack.Fingerprint) iter.Seq2[hijack.Fingerprint, time.Time] {
	return func(yield func(hijack.Fingerprint, time.Time) bool) {
		b.known(who, yield)
	}
}

func (b *Book) known(who hijack.Fingerprint, yield func(hijack.Fingerprint, time.Time) bool) bool {
	if b == nil {
		return true
	}
	if !b.below.known(who, yield) {
		return false
	}
	c := b.cards[who]
	if c == nil {
		return true
	}
	for _, other := range c.order {
		if !yield(other, c.since[other]) {
			return false
		}
	}
	return true
}

// Learn records lessons; the earlier time stays.
func (b *Book) Learn(lessons []hijack.Lesson) {
	for _, l := range lessons {
		if at, ok := b.Site(l.Other); l.Site && (!ok || l.Since.Before(at)) {
			b.site[l.Other] = l.Since
		}
		at, ok := b.Since(l.One, l.Other)
		if ok && !l.Since.Before(at) {
			continue
		}
		c := b.cards[l.One]
		if c == nil {
			c = &card{since: map[hijack.Fingerprint]time.Time{}}
			b.cards[l.One] = c
		}
		if _, own := c.since[l.Other]; !own && !ok {
			c.order = append(c.order, l.Other)
		}
		c.since[l.Other] = l.Since
	}
}

// Pairs is how many acquaintances and how many recipients of the site it holds.
func (b *Book) Pairs() (pairs, site int) {
	for _, c := range b.cards {
		pairs += len(c.order)
	}
	return pairs, len(b.site)
}
