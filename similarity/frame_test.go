package similarity

import (
	"encoding/binary"
	"hash/crc32"
)

// resealFrame puts the first frame's checksums right.
func resealFrame(b []byte) {
	size := min(binary.LittleEndian.Uint64(b[16:]), uint64(len(b)))
	if size >= align {
		binary.LittleEndian.PutUint32(b[24:], crc32.Checksum(b[32:size], castagnoli()))
	}
	binary.LittleEndian.PutUint32(b[28:], crc32.Checksum(b[:28], castagnoli()))
}
