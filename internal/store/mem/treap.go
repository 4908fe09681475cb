package mem

import (
	"bytes"
	"hash/fnv"

	"sallyport/internal/store"
)

// node is the root of an immutable treap: a search tree by key and a heap by
// priority. Changes copy the path to what they change, so that whoever holds an
// old root has a snapshot for nothing. The nil node is the empty tree.
type node struct {
	key, value  []byte
	priority    uint64
	left, right *node
}

// newNode derives the priority from the key, so that equal contents make equal
// trees whatever their history.
func newNode(key, value []byte) *node {
	h := fnv.New64a()
	h.Write(key)
	p := h.Sum64()
	p ^= p >> 32
	p *= 0x9e3779b97f4a7c15
	return &node{key: bytes.Clone(key), value: bytes.Clone(value), priority: p}
}

func (n *node) find(key []byte) *node {
	for n != nil {
		switch c := bytes.Compare(key, n.key); {
		case c == 0:
			return n
		case c < 0:
			n = n.left
		default:
			n = n.right
		}
	}
	return nil
}

// insert adds x, whose key is not in the tree.
func (n *node) insert(x *node) *node {
	if n == nil {
		return x
	}
	if x.priority > n.priority {
		x.left, x.right = n.split(x.key)
		return x
	}
	c := *n
	if bytes.Compare(x.key, n.key) < 0 {
		c.left = n.left.insert(x)
	} else {
		c.right = n.right.insert(x)
	}
	return &c
}

// split parts the tree into the keys below key and those above.
func (n *node) split(key []byte) (below, above *node) {
	if n == nil {
		return nil, nil
	}
	c := *n
	if bytes.Compare(n.key, key) < 0 {
		c.right, above = n.right.split(key)
		return &c, above
	}
	below, c.left = n.left.split(key)
	return below, &c
}

func (n *node) remove(key []byte) *node {
	if n == nil {
		return nil
	}
	c := bytes.Compare(key, n.key)
	if c == 0 {
		return join(n.left, n.right)
	}
	cp := *n
	if c < 0 {
		cp.left = n.left.remove(key)
	} else {
		cp.right = n.right.remove(key)
	}
	return &cp
}

// join unites two trees, all keys of a lying below those of b.
func join(a, b *node) *node {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	if a.priority > b.priority {
		c := *a
		c.right = join(a.right, b)
		return &c
	}
	c := *b
	c.left = join(a, b.left)
	return &c
}

// walk visits the nodes of r in its order until fn returns false, and reports
// whether it visited all of them.
func (n *node) walk(r store.Range, fn func(*node) bool) bool {
	if n == nil {
		return true
	}
	above := bytes.Compare(n.key, r.From) >= 0
	below := r.To == nil || bytes.Compare(n.key, r.To) < 0
	first, second := n.left, n.right
	enterFirst, enterSecond := above, below
	if r.Reverse {
		first, second = second, first
		enterFirst, enterSecond = enterSecond, enterFirst
	}
	if enterFirst && !first.walk(r, fn) {
		return false
	}
	if above && below && !fn(n) {
		return false
	}
	return !enterSecond || second.walk(r, fn)
}
