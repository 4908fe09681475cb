package mailbox

import "hash/crc32"

// sum is the checksum of a file, by which bits are found that a disk has lost. It keeps nobody from
// changing a file on purpose.
type sum struct{ crc uint32 }

func (s *sum) add(b []byte) { s.crc = crc32.Update(s.crc, crc32.MakeTable(crc32.Castagnoli), b) }

// value is never 0, which stands for a file that was not read.
func (s *sum) value() uint32 { return max(s.crc, 1) }
