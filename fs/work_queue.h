// SPDX-License-Identifier: Apache-2.0
//
// Which inodes the bucket does not yet show as they are, and when it is their turn. It schedules;
// what has to be done for an inode is found out anew each time, from what the inode is and what the
// bucket holds (fs/reconcile.cc), so there is no list of operations that could be consumed twice.
//
//   state      means                                   Note        Take      Succeed  Fail Defer
//   (absent)   the bucket shows it                     waiting     -         -        -        -
//   waiting    due at some time                        waiting     running   -        -        -
//   running    somebody is at work for it              running*    -         absent** waiting
//   waiting
//
//   *  noted again: it stays queued when the work succeeds.   ** or waiting, if noted again.
//
// Waiting gathers changes: an item is due a quiet time after its last change, but no later than a
// limit after its first. One that is held waits for that limit, or until all that is held is let
// go. After a failure it is due after a pause that doubles (from half a second
// to a minute); noting it again does not shorten the pause, Urge() does. While the store does not
// answer at all (Outage), one item at a time is tried, and the first success makes everything due.
//
// Thread-compatible: guarded by the owner's lock.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "fs/types.h"

namespace quayfs {

/// A failure that says that the store does not answer, not that it refuses.
bool StoreIsAway(Code code);

struct WorkItem {
  SteadyTime first{};  // noted
  SteadyTime due{};
  SteadyTime due_unheld{};  // of one that is held
  bool running = false;
  bool again = false;  // noted while running
  uint64_t failures = 0;
  std::optional<Error> error;   // C8: the first since it last succeeded
  bool error_reported = false;  // to a caller of close or fsync
};

class WorkQueue {
 public:
  /// How many items are at work at once, at most.
  explicit WorkQueue(size_t limit) : most_(limit), limit_(limit) {}

  /// `ino` needs work: due `quiet` from now, at most `cap` after it was first noted.
  void Note(Ino ino, SteadyTime now, Duration quiet, Duration cap);
  /// The same, but due only when `cap` is over, until LetGo().
  void Hold(Ino ino, SteadyTime now, Duration quiet, Duration cap);
  /// What is held is due when it would be if it had only been noted.
  void LetGo();
  /// Whether anything is held.
  bool holds() const { return !held_.empty(); }
  /// Due now, whatever has failed before. Nothing if it is not queued.
  void Urge(Ino ino, SteadyTime now);
  void UrgeAll(SteadyTime now);
  /// Due now, unless it has failed: then its pause goes on.
  void Hasten(Ino ino, SteadyTime now);
  void HastenAll(SteadyTime now);
  /// It needs nothing any more. REQUIRES: not running.
  void Drop(Ino ino);

  /// The next item that is due, now running; absent if none is, or as many run as may.
  std::optional<Ino> Take(SteadyTime now);
  /// The same for one that the caller works for itself; false if it is running already. Queues it
  /// if it is not queued.
  bool TakeThis(Ino ino, SteadyTime now);

  // Ends of work. REQUIRES: running.
  void Succeed(Ino ino, SteadyTime now, bool needs_more);
  void Fail(Ino ino, const Error& error, SteadyTime now);
  /// Has to wait for something else; not a failure. Due then, or with the next WakeDeferred.
  void Defer(Ino ino, SteadyTime until);
  /// Something has changed that deferred items may have waited for.
  void WakeDeferred(SteadyTime now);
  /// How often that was. Whoever found out before the last one that an item has to wait does not
  /// know whether it still has to.
  uint64_t wakes() const { return wakes_; }

  const WorkItem* Find(Ino ino) const;
  void MarkReported(Ino ino);
  /// When Take may next find something; absent: not before something is noted.
  std::optional<SteadyTime> NextDue() const;
  std::vector<Ino> All() const;
  size_t size() const { return items_.size(); }
  size_t running() const { return running_; }
  size_t limit() const { return limit_; }
  /// Since when the store has not answered; absent: it does.
  std::optional<SteadyTime> outage() const { return outage_; }

  /// A request outside of the queue has found the store to be there.
  void StoreAnswers(SteadyTime now);

  bool InvariantsHold() const;

 private:
  void Schedule(Ino ino, WorkItem& item, SteadyTime due);
  void Unschedule(Ino ino, const WorkItem& item);
  size_t allowed() const { return outage_ ? 1 : limit_; }

  const size_t most_;
  size_t limit_;     // adapted: halved when the store throttles, grown by success
  size_t calm_ = 0;  // successes since limit_ last changed
  size_t running_ = 0;
  std::optional<SteadyTime> outage_;
  std::map<Ino, WorkItem> items_;
  std::set<std::pair<SteadyTime, Ino>> due_;  // the waiting ones
  std::set<Ino> deferred_;                    // of these
  std::set<Ino> held_;                        // others of these
  uint64_t wakes_ = 0;
};

}  // namespace quayfs
