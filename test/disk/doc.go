// Package disk keeps the whole data folder of the real program on a small ext4 of its own, and has
// the kernel fail it in the middle of mail: full of octets, full of inodes, read-only, EIO and
// ENOSPC from fsync, and an ext4 that met an error.
package disk
