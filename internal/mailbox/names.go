package mailbox

// Names reads the names of files in a folder of any Maildir.
type Names struct{ letters keywordLetters }

// NewNames takes what the folder's file dovecot-keywords says; "" if there is none.
func NewNames(keywords string) *Names {
	n := &Names{}
	n.letters.read(keywords)
	return n
}

// Read returns by what the file is known whatever programs call it, and the flags that its name
// says. Of a file in new it says none.
func (n *Names) Read(file string) (identifies string, flags Flags) {
	return identity(file), n.letters.merged(Flags{}, "", file)
}

// FolderOf returns how a folder of a Maildir++ is called, by its name on the disk, which begins
// with a dot; ok is false for what is none.
func FolderOf(dir string) (name string, ok bool) {
	if !isFolder(dir) {
		return "", false
	}
	return folderName(dir), true
}

// DirectoryOf returns how a folder is called on the disk within a Maildir++; "" for the INBOX. It
// fails with a NameError.
func DirectoryOf(name string) (string, error) { return directory(name, DefaultLimits()) }

// FileFor returns the name of a file whose letters say the flags, with those keywords that have a
// letter: letters holds them from a on. What begins the name is not looked at.
func FileFor(base string, flags Flags, letters []string) string {
	var k keywordLetters
	copy(k[:], letters)
	return k.name(base+":2,", flags)
}
