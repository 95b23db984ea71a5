// SPDX-License-Identifier: Apache-2.0
//
// What is known of one inode: the local side (what this mount shows) and the bucket's side (what
// was last seen or made there). Plain data, guarded by the lock of the InodeTable that owns it.

#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cache/file_data.h"
#include "fs/types.h"
#include "fs/xattr_codec.h"
#include "providers/object_store.h"

namespace quayfs {

/// Names one version of an object. The ETag alone does not: a change of metadata keeps it, but
/// moves the time.
struct ObjectVersion {
  std::string etag;
  uint64_t size = 0;
  int64_t modified_seconds = 0;  // 0: not known yet (a write's reply does not say)

  static ObjectVersion Of(const ObjectInfo& info);
  /// False if they are different versions for certain. An unknown time agrees with every time.
  bool MayBe(const ObjectVersion& other) const;
};

/// Hard links (fs/links.cc). A file with several names, or one of its further names.
struct LinkState {
  std::string id;        // fs/link_record.h
  bool is_name = false;  // a further name of a file, and nothing else
  Ino link_to = 0;       // of a name: the file; 0: not found yet

  // Of a file.
  std::vector<Ino> names;     // further ones; some may be gone
  bool names_known = true;    // `names` has all of them
  uint32_t link_count = 0;    // else: what the record says; 0: nobody has looked
  bool record_dirty = false;  // the record in the bucket lists other names
  bool record_there = false;  // there is one for certain
  uint64_t record_seq = 0;    // counts changes of the names
};

/// Extended attributes (fs/xattrs.cc).
struct XattrState {
  XattrMap values;
  std::string side_id;      // of the object that holds them, if they are too large for metadata
  bool side_dirty = false;  // that object is not there yet
};

struct Inode {
  explicit Inode(Ino number) : ino(number) { attributes.ino = number; }

  const Ino ino;

  // Where it is linked. parent 0: nowhere any more (removed here, or found to be gone from the
  // bucket).
  Ino parent = 0;
  std::string name;

  Attributes attributes;          // size of a file with `data` is data's
  bool attributes_known = false;  // false: only what a listing says (a file's type may still turn
                                  // out to be something else)
  uint64_t attributes_seq = 0;    // counts local changes of attributes
  bool attributes_dirty = false;  // newer than the object's
  std::string symlink_target;     // "" if not read yet

  std::unique_ptr<LinkState> links;    // null: one name
  std::unique_ptr<XattrState> xattrs;  // null: as `properties` say

  // The bucket's side.
  bool published =
      false;  // an object (for a directory: a marker) of this inode exists at object_key
  std::string object_key;
  ObjectVersion version;
  ObjectProperties properties;  // as last seen or written; foreign metadata is kept from here

  /// An object may appear under this key: a request for it is on its way, or nobody knows how it
  /// ended. "" if not. Whoever removes or moves the inode sees to it that the object goes, too.
  std::string writing_key;

  /// Parts of it may be sent before it is published.
  bool streaming = false;

  /// The object is known to belong under another key: a rename that the bucket has not seen yet.
  bool moved = false;
  /// By its own name, not by that of a directory above it. Not kept across mounts.
  bool renamed = false;

  /// A copy of the object onto itself may have been carried out that nobody heard the end of: the
  /// digest of the metadata it would have (MetadataDigest). Until that is settled (SettleCopy) the
  /// object's version is not known for sure.
  std::string copying;

  /// Removed while open, with bytes that only the bucket had: they lie here until the last handle
  /// is closed.
  std::string orphan_key;

  // The state database's side.
  bool stored = false;            // it has a row
  bool unsaved = false;           // the row's times are older
  bool timed_by_content = false;  // they are, but the content's row has the right ones

  // The local side of a file.
  std::shared_ptr<FileData> data;  // while open or newer than the bucket
  uint64_t content_epoch = 0;      // counts replacements by others
  uint64_t kernel_epoch = 0;       // content_epoch when it was last opened

  // A directory.
  std::map<std::string, Ino> children;
  uint32_t subdirectories = 0;  // of children; kept by InodeTable
  bool complete = false;        // children is everything, as of listed_at
  bool large = false;           // more than one page: names are asked for one by one
  bool made_here = false;       // by this mount: nobody else's entries were there to begin with
  SteadyTime listed_at{};
  std::map<std::string, SteadyTime>
      removals;  // names removed here, which a listing under way may still show
  int listings_under_way = 0;
  bool recheck = false;        // a listing under way may show what has been removed since it began
  int attribute_requests = 0;  // since the last listing; decides when to ask for the siblings' too

  SteadyTime checked_at{};  // name and version were right then
  SteadyTime changed_at{};  // last changed by this mount

  bool times_only = false;  // attributes_dirty, but only because of what was made or removed in it

  uint64_t lookups = 0;  // references the kernel holds
  uint32_t opens = 0;
  uint32_t writers = 0;  // of these, handles that may write
  uint32_t mappers = 0;  // of these, handles by which a mapping may write
  uint32_t busy = 0;     // references of work under way
  uint32_t steps = 0;    // of these, requests for it that are under way or not yet noted

  bool is_directory() const { return S_ISDIR(attributes.mode); }
  bool is_regular() const { return S_ISREG(attributes.mode); }
  bool linked() const { return parent != 0 || ino == kRootIno; }
  /// The bucket lacks contents that this mount has acknowledged.
  bool unpublished() const {
    return is_regular() && (!published || (data != nullptr && data->dirty()));
  }
  /// The bucket does not show this inode as it is: there is work for the reconciler.
  bool needs_work() const {
    return needs_object_work() || (linked() && links != nullptr && links->record_dirty);
  }
  /// What is known here is newer than what the bucket is known to show, or a step is under way that
  /// will tell: between the moment when the bucket has it and when that is noted, nothing is dirty
  /// any more. No answer of the bucket's changes such an inode, or takes it away.
  bool ours() const { return needs_work() || steps > 0; }
  /// And not only its link record.
  bool needs_object_work() const {
    if (!linked()) return false;
    return attributes_dirty || moved || unpublished() || (!published && !is_directory());
  }
  /// Its object has to be written again.
  void NeedObject() {
    attributes_dirty = true;
    times_only = false;
  }
  bool is_name() const { return links != nullptr && links->is_name; }
  /// Of a name: its file is known; of a file: how many names it has.
  bool LinksShown() const {
    if (links == nullptr) return true;
    return links->is_name ? links->link_to != 0 : links->names_known || links->link_count > 0;
  }
};

}  // namespace quayfs
