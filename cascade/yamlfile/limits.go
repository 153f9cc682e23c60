package yamlfile

// Limits of one file. What is over a limit of the file is a file error; what
// is over a limit of an entry is an entry error.
const (
	// MaxFile is the size of a file of the tree, in bytes; the largest trees
	// known hold a few hundred KiB in one file.
	MaxFile = 1 << 20
	// MaxDirectoryFile is the size of a directory file, in bytes: a million
	// users with a few overrides each.
	MaxDirectoryFile = 256 << 20
	// MaxDepth is how deep lists and maps may be nested; files of the tree need
	// 2, settings a few more.
	MaxDepth = 32
	// MaxBlocks is the number of context sets in one file: each costs an
	// evaluation per subject.
	MaxBlocks = 10_000
	// MaxKey is the length of a property name or other key, in bytes.
	MaxKey = 512
	// MaxValue is the length of a value, in bytes.
	MaxValue = 256 << 10
	// MaxAliasNodes is the number of nodes that aliases may add to a file when
	// they are followed, so that a small file cannot unfold into a large one.
	MaxAliasNodes = 100_000
	// MinPriority and MaxPriority bound a block's priority: what every integer
	// type of the callers can hold.
	MinPriority = -1 << 31
	MaxPriority = 1<<31 - 1
	// MaxID is the largest context or user id: Java's int.
	MaxID = 1<<31 - 1
)
