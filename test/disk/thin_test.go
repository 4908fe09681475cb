package disk

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// thin is a file system of the kernel (FUSE) over a folder. While the host that it lies on is full,
// it does as a thin disk does behind a cache of writes: a write succeeds, the sync of the file that
// would bring it to the host answers ENOSPC, once, and what was written since the last sync that
// succeeded is lost. A second sync of the same file has nothing left to do, and succeeds.
type thin struct {
	full   atomic.Bool
	failed atomic.Int64 // syncs
	server *fuse.Server
}

// lie mounts it at dir, over below.
func (d *thin) lie(t testing.TB, below, dir string) {
	t.Helper()
	var st syscall.Stat_t
	must(t, syscall.Stat(below, &st))
	root := &fs.LoopbackRoot{Path: below, Dev: st.Dev}
	root.NewNode = func(r *fs.LoopbackRoot, _ *fs.Inode, _ string, _ *syscall.Stat_t) fs.InodeEmbedder {
		return &node{LoopbackNode: fs.LoopbackNode{RootData: r}, disk: d}
	}
	root.RootNode = root.NewNode(root, nil, "", &st)
	server, err := fs.Mount(dir, root.RootNode, &fs.Options{MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "thin", Name: "thin"}})
	if err != nil {
		t.Skipf("no file system in user space can be mounted here: %v", err)
	}
	d.server = server
}

func (d *thin) gone() error { return d.server.Unmount() }

// node is a file or a folder of it.
type node struct {
	fs.LoopbackNode
	disk *thin

	mu       sync.Mutex
	size     int64     // as of the last sync, where something was written since
	unsynced []written // since the last sync, in order
}

// written is what a write wrote over.
type written struct {
	at  int64
	old []byte
}

// readable has who opens a file to write be able to read what it writes over.
func readable(flags uint32) uint32 {
	if flags&syscall.O_ACCMODE == syscall.O_WRONLY {
		return flags&^syscall.O_ACCMODE | syscall.O_RDWR
	}
	return flags
}

// Open opens a file.
func (n *node) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	h, fuseFlags, errno := n.LoopbackNode.Open(ctx, readable(flags))
	if errno != fs.OK {
		return nil, 0, errno
	}
	return &file{LoopbackFile: h.(*fs.LoopbackFile), node: n}, fuseFlags, fs.OK
}

// Create makes a file in a folder.
func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	made, h, fuseFlags, errno := n.LoopbackNode.Create(ctx, name, readable(flags), mode, out)
	if errno != fs.OK {
		return nil, nil, 0, errno
	}
	return made, &file{LoopbackFile: h.(*fs.LoopbackFile), node: made.Operations().(*node)}, fuseFlags, fs.OK
}

// Setattr cuts a file off, among others. What is cut off reaches the host at once.
func (n *node) Setattr(ctx context.Context, h fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, cut := in.GetSize(); cut {
		n.unsynced = nil
	}
	if f, ok := h.(*file); ok {
		return f.LoopbackFile.Setattr(ctx, in, out)
	}
	return n.LoopbackNode.Setattr(ctx, nil, in, out)
}

// file is a file that is open.
type file struct {
	*fs.LoopbackFile
	node *node
}

// PassthroughFd has the kernel pass nothing by.
func (f *file) PassthroughFd() (int, bool) { return 0, false }

// Write writes, and remembers what was there.
func (f *file) Write(ctx context.Context, data []byte, at int64) (uint32, syscall.Errno) {
	n := f.node
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.unsynced) == 0 {
		var now fuse.AttrOut
		if errno := f.Getattr(ctx, &now); errno != fs.OK {
			return 0, errno
		}
		n.size = int64(now.Size)
	}
	w := written{at: at}
	if there := min(n.size-at, int64(len(data))); there > 0 {
		res, errno := f.LoopbackFile.Read(ctx, make([]byte, there), at)
		if errno != fs.OK {
			return 0, errno
		}
		old, status := res.Bytes(make([]byte, there))
		if !status.Ok() {
			return 0, syscall.Errno(status)
		}
		w.old = old
	}
	n.unsynced = append(n.unsynced, w)
	return f.LoopbackFile.Write(ctx, data, at)
}

// Fsync brings what was written to the host, or loses it.
func (f *file) Fsync(ctx context.Context, flags uint32) syscall.Errno {
	n := f.node
	n.mu.Lock()
	defer n.mu.Unlock()
	lost := n.unsynced
	n.unsynced = nil
	if !n.disk.full.Load() || len(lost) == 0 {
		return f.LoopbackFile.Fsync(ctx, flags)
	}
	for _, w := range slices.Backward(lost) {
		if _, errno := f.LoopbackFile.Write(ctx, w.old, w.at); errno != fs.OK {
			return errno
		}
	}
	cut := fuse.SetAttrIn{SetAttrInCommon: fuse.SetAttrInCommon{Valid: fuse.FATTR_SIZE, Size: uint64(n.size)}}
	if errno := f.LoopbackFile.Setattr(ctx, &cut, &fuse.AttrOut{}); errno != fs.OK {
		return errno
	}
	n.disk.failed.Add(1)
	return syscall.ENOSPC
}
