package moving

import (
	"context"
	"errors"
	"strconv"
	"time"

	"sallyport/internal/mailbox"
)

// ErrLost: the place cannot be reached any more. An import can go on from here later.
var ErrLost = errors.New("the place cannot be reached any more")

// Folder is one that a place has.
type Folder struct {
	Name       string   // by which the place knows it
	Levels     []string // of its name, from the top
	Use        mailbox.Use
	Subscribed bool
	Messages   int    // -1: nobody knows
	Left       string // why it is left out unless it is asked for by its name; "" if it is not
}

// Message is one that a place has.
type Message struct {
	Origin mailbox.Origin
	Name   string // by which people find it there
	Flags  mailbox.Flags
	Date   time.Time
	Octets []byte
}

// Place is where mail lies.
type Place interface {
	// Identity names the place, in the same words each time.
	Identity() string
	// Folders lists what there is.
	Folders(ctx context.Context) ([]Folder, error)
	// Read hands the messages of a folder to r. An error is of the whole folder, or is one that r
	// returned.
	Read(ctx context.Context, folder string, r Receiver) error
	// Close ends the use of the place.
	Close() error
}

// Receiver takes the messages of one folder.
type Receiver interface {
	// Listed tells the origins of all messages before any is read, where they are known.
	Listed([]mailbox.Origin)
	// Wanted asks whether a message is to be read.
	Wanted(mailbox.Origin) bool
	// Message takes one that was read. Its octets are the receiver's.
	Message(Message) error
	// Unreadable takes the name of one that was not.
	Unreadable(name string, err error) error
	// Remark takes what is wrong with one that was read all the same.
	Remark(name, what string)
}

// Free returns a name that no other folder of a place has: the name itself, or it with the first
// number behind it that makes it one. Of two folders that would be called alike, neither is lost.
func Free(name string, taken func(string) bool) string {
	free := name
	for n := 2; taken(free); n++ {
		free = name + " " + strconv.Itoa(n)
	}
	return free
}
