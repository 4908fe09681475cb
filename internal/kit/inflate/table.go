package inflate

// longest is how many bits a code has at most. RFC 1951 §3.2.7.
const longest = 15

// table tells symbols by their codes, which are counted: of each length they follow one another.
// RFC 1951 §3.2.2.
type table struct {
	count   [longest + 1]int // codes of each length
	symbols []int            // by length, and within it by value
}

// newTable makes one of the lengths of the codes; 0: the symbol has none. ok is false where there are more
// codes than their lengths allow.
func newTable(lengths []int) (t table, ok bool) {
	for _, n := range lengths {
		t.count[n]++
	}
	t.count[0] = 0
	left := 1
	var begin [longest + 2]int
	for n := 1; n <= longest; n++ {
		if left = left<<1 - t.count[n]; left < 0 {
			return t, false
		}
		begin[n+1] = begin[n] + t.count[n]
	}
	t.symbols = make([]int, begin[longest+1])
	for symbol, n := range lengths {
		if n > 0 {
			t.symbols[begin[n]] = symbol
			begin[n]++
		}
	}
	return t, left == 0 || len(t.symbols) <= 1 // §3.2.7: one code of one bit may stand alone
}

// decode reads a symbol of bits, of which there are so many, and returns how many it has.
func (t *table) decode(bits uint64, have uint) (symbol int, used uint, err error) {
	code, first, index := 0, 0, 0
	for n := 1; n <= longest; n++ {
		if uint(n) > have {
			return 0, 0, errWait
		}
		code |= int(bits & 1)
		bits >>= 1
		if code-first < t.count[n] {
			return t.symbols[index+code-first], uint(n), nil
		}
		index += t.count[n]
		first = (first + t.count[n]) << 1
		code <<= 1
	}
	return 0, 0, ErrCorrupt
}

// fixedTables are those that need no description. RFC 1951 §3.2.6.
func (r *Reader) fixedTables() (lens, dists table) {
	if r.fixed == nil {
		var n [288]int
		for i := range n {
			switch {
			case i < 144:
				n[i] = 8
			case i < 256:
				n[i] = 9
			case i < 280:
				n[i] = 7
			default:
				n[i] = 8
			}
		}
		var d [32]int
		for i := range d {
			d[i] = 5
		}
		r.fixed = &tables{}
		r.fixed.lens, _ = newTable(n[:])
		r.fixed.dists, _ = newTable(d[:])
	}
	return r.fixed.lens, r.fixed.dists
}

// Codes of code lengths, in the order in which they are described, and those that repeat. RFC
// 1951 §3.2.7.
var order = [...]int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

const (
	mostLens  = 286
	mostDists = 30
)

// describe reads the tables of a block.
func (r *Reader) describe() error {
	head, err := r.need(14)
	if err != nil {
		return err
	}
	lens, dists, codes := head&31+257, head>>5&31+1, head>>10+4
	if lens > mostLens || dists > mostDists {
		return ErrCorrupt
	}
	var of [len(order)]int
	for _, symbol := range order[:codes] {
		if of[symbol], err = r.need(3); err != nil {
			return err
		}
	}
	t, ok := newTable(of[:])
	if !ok {
		return ErrCorrupt
	}
	lengths, err := r.lengths(&t, lens+dists)
	if err != nil {
		return err
	}
	if lengths[endOfBlock] == 0 {
		return ErrCorrupt // it would have no end
	}
	var fine bool
	if r.lens, fine = newTable(lengths[:lens]); !fine {
		return ErrCorrupt
	}
	if r.dists, fine = newTable(lengths[lens:]); !fine {
		return ErrCorrupt
	}
	return nil
}

// lengths reads the lengths of so many codes.
func (r *Reader) lengths(t *table, most int) ([]int, error) {
	out := make([]int, 0, most)
	for len(out) < most {
		symbol, used, err := t.decode(r.bits, r.have)
		if err == errWait {
			if err = r.fill(); err == nil {
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		r.take(used)
		value, least, more := symbol, 1, uint(0)
		switch symbol {
		case 16:
			if len(out) == 0 {
				return nil, ErrCorrupt
			}
			value, least, more = out[len(out)-1], 3, 2
		case 17:
			value, least, more = 0, 3, 3
		case 18:
			value, least, more = 0, 11, 7
		}
		extra, err := r.need(more)
		if err != nil {
			return nil, err
		}
		if len(out)+least+extra > most {
			return nil, ErrCorrupt
		}
		for range least + extra {
			out = append(out, value)
		}
	}
	return out, nil
}
