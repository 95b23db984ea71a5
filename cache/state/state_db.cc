// SPDX-License-Identifier: Apache-2.0

#include "cache/state/state_db.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <optional>
#include <utility>

#include "base/log.h"
#include "base/mutex.h"
#include "base/unique_fd.h"
#include "cache/state/log_mover.h"
#include "cache/state/schema.h"
#include "cache/state/sqlite.h"
#include "cache/state/state_files.h"
#include "cache/state/state_open.h"
#include "cache/state/state_reader.h"
#include "cache/state/state_writer.h"

namespace quayfs {
namespace {

/// A database that was closed cleanly is only checked from end to end up to this size; what is
/// wrong in a larger one shows when its rows are read.
constexpr uint64_t kAlwaysCheckedBytes = 64u << 20;

/// Of a new database. A commit writes whole pages into the log, and changes a few rows of 100 to
/// 300 bytes: with SQLite's usual 4096 it takes one and a half times as long.
constexpr int kPageBytes = 1024;

/// A log of so many times what is moved at a time has to begin anew.
constexpr uint64_t kLongLogFactor = 4;

constexpr std::string_view kBucket = "bucket";
constexpr std::string_view kBootId = "boot_id";
constexpr std::string_view kClean = "clean";  // "1": closed with everything in state.db

/// "" if it cannot be told; that is no boot we know.
std::string CurrentBootId() {
  const UniqueFd fd(open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
  std::array<char, 36> text{};
  if (!fd.valid() || read(fd.get(), text.data(), text.size()) != ssize_t{text.size()}) return "";
  return {text.data(), text.size()};
}

uint64_t FileSize(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

class StateDbImpl final : public StateDb {
 public:
  StateDbImpl(StateFiles files, const StateOptions& options)
      : files_(std::move(files)),
        options_(options),
        boot_id_(options.boot_id ? *options.boot_id : CurrentBootId()) {}
  ~StateDbImpl() override;

  Status Start(const StateIdentity& identity);

  Status Apply(StateBatch batch, Persist persist) override;

  Status ReadInodes(const std::function<void(InodeRow row)>& take) override {
    return Read([&take](StateReader& reader) { return reader.ReadInodes(take); });
  }
  Status ReadContents(
      const std::function<void(ContentRow row, std::vector<ByteRange> dirty)>& take) override {
    return Read([&take](StateReader& reader) { return reader.ReadContents(take); });
  }
  Status ReadSeals(const std::function<void(SealRow row)>& take) override {
    return Read([&take](StateReader& reader) { return reader.ReadSeals(take); });
  }
  Status ReadCleans(const std::function<void(CleanRow row)>& take) override {
    return Read([&take](StateReader& reader) { return reader.ReadCleans(take); });
  }
  Result<std::optional<CleanRow>> FindClean(uint64_t ino) override {
    std::optional<CleanRow> found;
    QUAY_TRY(Read([&](StateReader& reader) -> Status {
      QUAY_ASSIGN(found, reader.FindClean(ino));
      return {};
    }));
    return found;
  }
  Status ReadUploads(
      const std::function<void(UploadRow row, std::vector<PartRow> parts)>& take) override {
    return Read([&take](StateReader& reader) { return reader.ReadUploads(take); });
  }
  Status ReadOrphans(
      const std::function<void(std::string key, std::string upload_id)>& take) override {
    return Read([&take](StateReader& reader) { return reader.ReadOrphans(take); });
  }
  Status ReadRemovals(const std::function<void(RemovalRow row)>& take) override {
    return Read([&take](StateReader& reader) { return reader.ReadRemovals(take); });
  }
  Status ReadNotes(const std::function<void(NoteRow row)>& take) override {
    return Read([&take](StateReader& reader) { return reader.ReadNotes(take); });
  }
  Result<int64_t> Number(const std::string& name, int64_t otherwise) override;

  bool same_boot() const override { return same_boot_; }
  bool is_new() const override { return is_new_; }

 private:
  Status Create(const StateIdentity& identity);
  Status Check(const StateIdentity& identity) QUAY_REQUIRES(mutex_);
  Status CheckPages() QUAY_REQUIRES(mutex_);
  Status CheckRows() QUAY_REQUIRES(mutex_);
  Status CheckMeta(const StateIdentity& identity) QUAY_REQUIRES(mutex_);
  Status Upgrade() QUAY_REQUIRES(mutex_);

  template <typename Function>
  Status Read(const Function& function);

  Status ApplyLocked(const StateBatch& batch) QUAY_REQUIRES(mutex_);
  Status Transact(const StateBatch& batch) QUAY_REQUIRES(mutex_);
  Status TakeOver() QUAY_REQUIRES(mutex_);
  Status Flush(int log);
  Status MarkClean() QUAY_REQUIRES(mutex_);
  Error Fail(const Error& error) QUAY_REQUIRES(mutex_);
  Status KeepLogShort() QUAY_REQUIRES(mutex_);
  /// `error` with the file's name in front and advice behind. For what only reads: a statement that
  /// does not fit the tables says that they are not what they were.
  Error AboutReading(const Error& error) const;
  /// `error` with the file's name in front and advice behind.
  Error About(const Error& error) const;

  const StateFiles files_;
  const StateOptions options_;
  const std::string boot_id_;
  bool is_new_ = false;
  bool same_boot_ = false;

  Mutex mutex_{LockRank::kState};
  SqlConnection connection_ QUAY_GUARDED_BY(mutex_);
  std::optional<StateWriter> writer_ QUAY_GUARDED_BY(mutex_);
  SqlStatement begin_ QUAY_GUARDED_BY(mutex_);
  SqlStatement commit_ QUAY_GUARDED_BY(mutex_);
  bool was_clean_ QUAY_GUARDED_BY(mutex_) = true;
  bool took_over_ QUAY_GUARDED_BY(mutex_) = false;  // this opening has changed something
  std::optional<Error> broken_ QUAY_GUARDED_BY(mutex_);
  UniqueFd log_ QUAY_GUARDED_BY(mutex_);
  std::optional<LogMover> mover_;  // from the first change on
  uint64_t page_bytes_ QUAY_GUARDED_BY(mutex_) = kPageBytes;
  uint64_t moved_at_ QUAY_GUARDED_BY(mutex_) = 0;  // bytes of log when a move was last begun

  std::atomic<uint64_t> applied_ = 0;
  Mutex flush_mutex_{LockRank::kState};  // never held together with mutex_
  uint64_t flushed_ QUAY_GUARDED_BY(flush_mutex_) = 0;
};

Error StateDbImpl::About(const Error& error) const {
  const std::string path = files_.path();
  if (error.code() == Code::kBusy) {
    return {Code::kBusy, fmt::format("'{}' is in use by another process; end it, or use another "
                                     "cache directory",
                                     path)};
  }
  if (error.code() == Code::kCorrupt) {
    return {Code::kCorrupt,
            fmt::format("'{}' is damaged: {}{}", path, error.message(), files_.Advice())};
  }
  if (error.code() == Code::kNoSpace) {
    return {Code::kNoSpace,
            fmt::format("the disk of the state database '{}' is full; make room there ({})", path,
                        error.message())};
  }
  return error.WithContext(fmt::format("the state database '{}'", path));
}

Error StateDbImpl::AboutReading(const Error& error) const {
  if (error.code() != Code::kInternal) return About(error);
  return About(Error(Code::kCorrupt, error.message()));
}

Status StateDbImpl::Start(const StateIdentity& identity) {
  QUAY_ASSIGN(const bool there, files_.Look(static_cast<int64_t>(options_.steps.size())));
  if (!there) {
    if (Status created = Create(identity); !created) return About(created.error());
  }
  is_new_ = !there;
  const MutexLock lock(mutex_);
  Status checked = Check(identity);
  if (checked.Is(Code::kNotPermitted)) return checked;
  if (!checked) return AboutReading(checked.error());
  return {};
}

Status StateDbImpl::Create(const StateIdentity& identity) {
  return files_.Create([this, &identity](const std::string& path) -> Status {
    QUAY_ASSIGN(SqlConnection connection, SqlConnection::Open(path));
    QUAY_TRY(connection.Execute(
        fmt::format("PRAGMA page_size={}; PRAGMA application_id={}; PRAGMA journal_mode=WAL",
                    kPageBytes, kStateApplicationId)
            .c_str()));
    QUAY_TRY(TakeSchemaSteps(connection, options_.steps, 0));
    {
      QUAY_ASSIGN(StateWriter writer, StateWriter::Prepare(&connection));
      QUAY_TRY(writer.PutMeta(kBucket, identity.bucket));
    }
    QUAY_TRY(connection.Execute("PRAGMA wal_checkpoint(TRUNCATE)"));
    return connection.TakeOver();
  });
}

Status StateDbImpl::Check(const StateIdentity& identity) {
  const bool has_log = FileSize(files_.log_path()) > 0;
  QUAY_ASSIGN(connection_, SqlConnection::Open(files_.path()));
  QUAY_TRY(CheckMeta(identity));
  if (!was_clean_ && !has_log) {
    return Error(
        Code::kCorrupt,
        fmt::format("its log '{}' is missing, and with it the last changes", files_.log_path()));
  }
  if (!was_clean_ || FileSize(files_.path()) <= kAlwaysCheckedBytes) {
    QUAY_TRY(CheckPages());
    QUAY_TRY(CheckRows());
  }
  QUAY_TRY(Upgrade());
  QUAY_ASSIGN(const int64_t page_bytes, connection_.QueryInt("PRAGMA page_size"));
  page_bytes_ = static_cast<uint64_t>(page_bytes);
  QUAY_ASSIGN(writer_, StateWriter::Prepare(&connection_));
  QUAY_ASSIGN(begin_, connection_.Prepare("BEGIN IMMEDIATE"));
  QUAY_ASSIGN(commit_, connection_.Prepare("COMMIT"));
  return {};
}

Status StateDbImpl::CheckMeta(const StateIdentity& identity) {
  QUAY_ASSIGN(const int64_t version, connection_.QueryInt("PRAGMA user_version"));
  if (version > static_cast<int64_t>(options_.steps.size())) {
    return Error(Code::kNotPermitted,
                 fmt::format("'{}' was made by a newer quayfs (version {}, this one knows {}); use "
                             "that quayfs, or another cache directory",
                             files_.path(), version, options_.steps.size()));
  }
  if (version < 1) return Error(Code::kCorrupt, fmt::format("version {}", version));
  StateReader reader(&connection_);
  QUAY_ASSIGN(const std::optional<std::string> bucket, reader.Meta(kBucket));
  QUAY_ASSIGN(const std::optional<std::string> boot_id, reader.Meta(kBootId));
  QUAY_ASSIGN(const std::optional<std::string> clean, reader.Meta(kClean));
  if (!bucket || !clean) return Error(Code::kCorrupt, "it does not say whose it is");
  if (options_.any_bucket != nullptr) {
    *options_.any_bucket = *bucket;
  } else if (*bucket != identity.bucket) {
    return Error(Code::kNotPermitted,
                 fmt::format("the cache directory '{}' belongs to {}, not to {}; use another one",
                             files_.directory(), *bucket, identity.bucket));
  }
  was_clean_ = *clean == "1";
  same_boot_ = !boot_id || (*boot_id == boot_id_ && !boot_id_.empty());
  return {};
}

Status StateDbImpl::CheckPages() {
  const auto answer = connection_.QueryText("PRAGMA quick_check(1)");
  if (!answer) return answer.error();
  if (*answer == "ok") return {};
  // What is wrong stands in the last line, below a title.
  return Error(Code::kCorrupt, answer->substr(answer->rfind('\n') + 1));
}

/// Before anybody changes anything on the word of some of the rows.
Status StateDbImpl::CheckRows() {
  QUAY_ASSIGN(const int64_t version, connection_.QueryInt("PRAGMA user_version"));
  if (version != static_cast<int64_t>(options_.steps.size())) return {};  // other columns
  StateReader reader(&connection_);
  QUAY_TRY(reader.ReadInodes([](const InodeRow&) {}));
  QUAY_TRY(reader.ReadContents([](const ContentRow&, const std::vector<ByteRange>&) {}));
  QUAY_TRY(reader.ReadSeals([](const SealRow&) {}));
  QUAY_TRY(reader.ReadUploads([](const UploadRow&, const std::vector<PartRow>&) {}));
  QUAY_TRY(reader.ReadOrphans([](const std::string&, const std::string&) {}));
  QUAY_TRY(reader.ReadRemovals([](const RemovalRow&) {}));
  QUAY_TRY(reader.ReadCleans([](const CleanRow&) {}));
  return reader.ReadNotes([](const NoteRow&) {});
}

Status StateDbImpl::Upgrade() {
  QUAY_ASSIGN(const int64_t version, connection_.QueryInt("PRAGMA user_version"));
  if (version == static_cast<int64_t>(options_.steps.size())) return {};
  QUAY_TRY(TakeSchemaSteps(connection_, options_.steps, version));
  return connection_.Execute("PRAGMA wal_checkpoint(TRUNCATE)");
}

template <typename Function>
Status StateDbImpl::Read(const Function& function) {
  const MutexLock lock(mutex_);
  StateReader reader(&connection_);
  Status read = function(reader);
  if (!read) return AboutReading(read.error());
  return {};
}

Result<int64_t> StateDbImpl::Number(const std::string& name, int64_t otherwise) {
  int64_t number = otherwise;
  QUAY_TRY(Read([&](StateReader& reader) -> Status {
    QUAY_ASSIGN(const std::optional<int64_t> found, reader.Number(name));
    number = found.value_or(otherwise);
    return {};
  }));
  return number;
}

Status StateDbImpl::Apply(StateBatch batch, Persist persist) {
  if (batch.empty() && persist == Persist::kSurvivesKill) return {};
  int log = -1;
  {
    const MutexLock lock(mutex_);
    if (broken_) return *broken_;
    if (!batch.empty() || !took_over_) {
      if (Status applied = ApplyLocked(batch); !applied) return Fail(applied.error());
    }
    log = log_.get();
  }
  if (persist == Persist::kSurvivesKill) return {};
  Status flushed = Flush(log);
  if (flushed) return flushed;
  const MutexLock lock(mutex_);
  return Fail(flushed.error());
}

Status StateDbImpl::ApplyLocked(const StateBatch& batch) {
  if (Status applied = Transact(batch); !applied) {
    connection_.RollBack();
    return applied;
  }
  if (!took_over_) QUAY_TRY(TakeOver());
  applied_.fetch_add(1, std::memory_order_release);
  return KeepLogShort();
}

/// Commits that come without a pause never let the log begin anew. So when it has become long, one
/// of them waits for the little that is left after a move.
Status StateDbImpl::KeepLogShort() {
  const uint64_t log = connection_.log_pages() * page_bytes_;
  if (log < moved_at_) moved_at_ = 0;
  if (log - moved_at_ > options_.checkpoint_bytes) {
    moved_at_ = log;
    mover_->Begin();
    return {};
  }
  const bool long_enough = log > kLongLogFactor * options_.checkpoint_bytes;
  return long_enough && !mover_->under_way() ? MoveLog(connection_) : Status();
}

Status StateDbImpl::Transact(const StateBatch& batch) {
  QUAY_TRY(begin_.Run());
  if (!took_over_) {
    QUAY_TRY(writer_->PutMeta(kBootId, boot_id_));
    QUAY_TRY(writer_->PutMeta(kClean, "0"));
  }
  QUAY_TRY(writer_->Write(batch));
  return commit_.Run();
}

/// After the first change: state.db itself says from now on that its log belongs to it, and the log
/// can be flushed.
Status StateDbImpl::TakeOver() {
  log_.Reset(open(files_.log_path().c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
  if (!log_.valid()) {
    return Error(Code::kIo,
                 ErrnoError(errno, fmt::format("cannot open '{}'", files_.log_path())).message());
  }
  took_over_ = true;
  QUAY_TRY(files_.SyncDirectory());
  mover_.emplace(files_.path(), [this](const Error& error) {
    const MutexLock lock(mutex_);
    static_cast<void>(Fail(error));  // every further call says it
  });
  return MoveLog(connection_);
}

/// What is applied lies in the log, or has been moved into the database and flushed there. One
/// flush serves all who wait for it, and nobody who does not.
Status StateDbImpl::Flush(int log) {
  const uint64_t mine = applied_.load(std::memory_order_acquire);
  const MutexLock lock(flush_mutex_);
  if (flushed_ >= mine) return {};
  const uint64_t covered = applied_.load(std::memory_order_acquire);
  const auto sync = options_.sync_file != nullptr ? options_.sync_file : &fdatasync;
  if (sync(log) != 0) {
    return Error(Code::kIo,
                 ErrnoError(errno, fmt::format("cannot flush '{}'", files_.log_path())).message());
  }
  flushed_ = covered;
  return {};
}

/// After a failure of the disk nobody knows what it holds: changes on top of that would only hide
/// it.
Error StateDbImpl::Fail(const Error& error) {
  Error about = About(error);
  if (!broken_ && (error.code() == Code::kIo || error.code() == Code::kCorrupt)) broken_ = about;
  return about;
}

StateDbImpl::~StateDbImpl() {
  mover_.reset();  // before the last connection, which may move the log as it closes
  const MutexLock lock(mutex_);
  if (took_over_ && !broken_) {
    if (Status marked = MarkClean(); !marked) {
      connection_.RollBack();
      Log(LogLevel::kDebug, "state.close", {{"error", About(marked.error()).message()}});
    }
  }
  writer_.reset();
  begin_ = {};
  commit_ = {};
  connection_ = {};
  if (!took_over_) files_.RemoveEmptyLog();
}

Status StateDbImpl::MarkClean() {
  QUAY_TRY(begin_.Run());
  QUAY_TRY(writer_->PutMeta(kClean, "1"));
  QUAY_TRY(commit_.Run());
  return connection_.TakeOver();
}

}  // namespace

Result<std::unique_ptr<StateDb>> OpenStateDb(const std::string& directory,
                                             const StateIdentity& identity,
                                             const StateOptions& options) {
  QUAY_ASSIGN(StateFiles files, StateFiles::Lock(directory));
  auto database = std::make_unique<StateDbImpl>(std::move(files), options);
  QUAY_TRY(database->Start(identity));
  return std::unique_ptr<StateDb>(std::move(database));
}

Result<std::unique_ptr<StateDb>> StateDb::Open(const std::string& directory,
                                               const StateIdentity& identity) {
  return OpenStateDb(directory, identity, {});
}

}  // namespace quayfs
