// SPDX-License-Identifier: Apache-2.0

#include "fs/program/store_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/hash.h"
#include "fs/program/messages.h"
#include "fs/program/reach.h"
#include "providers/probe.h"
#include "providers/profiles.h"
#include "providers/s3_store.h"

namespace quayfs::program {
namespace {

constexpr auto kConnectTimeout = std::chrono::seconds(15);
constexpr auto kStepTimeout = std::chrono::seconds(60);
constexpr auto kProbeTimeout = std::chrono::minutes(5);
constexpr std::string_view kBody = "quayfs check";
constexpr size_t kRandomBytes = 6;
constexpr uint64_t kMetadataUseful = 512;  // owner, mode and times, with room

CallOptions Within(Duration timeout) {
  CallOptions call;
  call.deadline = std::chrono::steady_clock::now() + timeout;
  return call;
}

/// Bytes that get lost or changed where metadata is not encoded well, and a name as s3fs has it.
ObjectProperties Properties() {
  ObjectProperties properties;
  properties.content_type = "application/octet-stream";
  properties.metadata = {{"mode", "33188"},
                         {"quayfs-check", " blanks, 100%, \xc3\xa9\xe2\x82\xac "}};
  return properties;
}

/// What has to be allowed for a step, in the words of S3's policies, and what a mount is without
/// it.
struct Permission {
  std::string_view action;
  std::string_view use;
  bool needed = true;  // by every mount that writes
};
constexpr Permission kList{"s3:ListBucket", "directories cannot be read"};
constexpr Permission kWrite{"s3:PutObject",
                            "nothing can be written; read_only = true does without"};
constexpr Permission kRead{"s3:GetObject", "nothing can be read"};
constexpr Permission kDelete{"s3:DeleteObject",
                             "files cannot be removed, nor renamed, and old objects stay"};
constexpr Permission kCopy{"s3:GetObject and s3:PutObject",
                           "renames and changes of attributes send the contents again"};
constexpr Permission kParts{"s3:PutObject (which covers multipart uploads)",
                            "large files cannot be written; Use_ClientMultiUpload=false sends each "
                            "in one piece"};
constexpr Permission kAbort{"s3:AbortMultipartUpload",
                            "interrupted uploads stay in the bucket, and cost", false};
constexpr Permission kListUploads{"s3:ListBucketMultipartUploads",
                                  "interrupted uploads that are not remembered are not found "
                                  "(quayfs check --orphans)",
                                  false};

class StoreCheck {
 public:
  StoreCheck(const MountConfig& config, ObjectStore& store)
      : config_(config),
        store_(store),
        folder_(config.prefix + ".quayfs/check-" + HexEncode(RandomBytes(kRandomBytes)) + "/") {}

  std::vector<CheckRow> Run() {
    if (!Step(
            "bucket",
            [this]() -> Status {
              const Status reached = ReachBucket(store_, config_.prefix, Within(kConnectTimeout));
              return reached ? reached : Status(WithRegion(reached.error(), config_));
            },
            "reached as " + store_.name())) {
      return std::move(rows_);
    }
    if (Step(
            "list", [this] { return ListOne(); }, "allowed", kList)) {
      Region();
      Archived();
    }
    if (config_.mount.read_only) {
      Skip("write", "the mount is read-only");
    } else {
      Writes();
    }
    return std::move(rows_);
  }

 private:
  void Writes() {
    if (Step(
            "write", [this] { return Write(); }, "allowed", kWrite)) {
      Step(
          "head", [this] { return CheckHead(object_); },
          "size and attributes come back as they were written", kRead);
      Step(
          "read", [this] { return Read(); }, "ranges are read", kRead);
      if (!config_.store.storage_class.empty()) Class();
      MetadataLimit();
      Speed();
      Step(
          "list new", [this] { return ListNew(); }, "a new object is listed at once", kList);
      Step(
          "copy", [this] { return Copy(); },
          "the store copies; renames and changes of attributes send no contents", kCopy);
      Multipart();
      Move();
      Step(
          "delete", [this] { return Delete(); }, "allowed, nothing is left behind", kDelete);
    }
    CleanUp();
  }

  template <typename Function>
  bool Step(std::string name, const Function& function, std::string good,
            std::optional<Permission> permission = std::nullopt) {
    const Status status = function();
    if (status) {
      rows_.push_back({std::move(name), CheckResult::kOk, std::move(good)});
      return true;
    }
    const bool denied = status.Is(Code::kPermissionDenied) && permission.has_value() &&
                        config_.store.provider != "local";
    rows_.push_back({std::move(name),
                     denied && !permission->needed ? CheckResult::kWarning : CheckResult::kFailed,
                     denied ? Denied(*permission, status.error())
                            : ExplainStoreError(status.error(), config_)});
    return false;
  }

  /// Which one it is, now that the service has answered.
  void Region() {
    const std::optional<StoreRegion> region = RegionOf(store_);
    if (!region) return;
    const bool native = config_.store.provider == "qingstor";
    const std::string_view option = native ? "zone" : "region";
    if (region->configured == region->learned) {
      rows_.push_back({"region", CheckResult::kOk,
                       fmt::format("{} '{}' is accepted", option, region->learned)});
      return;
    }
    rows_.push_back(
        {"region", CheckResult::kWarning,
         fmt::format("the bucket is in '{}', not in '{}', and each start has to find "
                     "that out; set {} = \"{}\" in {}",
                     region->learned, region->configured, option, region->learned, config_.path)});
  }

  std::string Denied(const Permission& permission, const Error& error) const {
    const std::string& key = config_.store.credentials.access_key_id;
    return OneLine(fmt::format("not allowed, and without it {}; allow {} on '{}'{} ({})",
                               permission.use, permission.action, store_.name(),
                               key.empty() ? "" : fmt::format(" to the access key '{}'", key),
                               error.message()));
  }

  /// Attributes and extended attributes travel as metadata: how much of it comes back.
  void MetadataLimit() {
    const uint64_t declared = store_.capabilities().metadata_size_max;
    for (uint64_t size = declared; size >= kMetadataUseful; size /= 2) {
      const Status kept = KeepsMetadata(size);
      if (kept && size == declared) {
        rows_.push_back({"metadata limit", CheckResult::kOk,
                         fmt::format("{} bytes of metadata come back", size)});
        return;
      }
      if (kept) {
        rows_.push_back({"metadata limit", CheckResult::kWarning,
                         fmt::format("{} bytes of metadata come back, {} do not: files with many "
                                     "extended attributes cannot be stored",
                                     size, size * 2)});
        return;
      }
    }
    rows_.push_back({"metadata limit", CheckResult::kWarning,
                     fmt::format("not even {} bytes of metadata come back; with metadata = "
                                 "\"plain\" none are needed",
                                 kMetadataUseful)});
  }

  Status KeepsMetadata(uint64_t size) {
    ObjectProperties properties;
    std::string name = "quayfs-limit";
    std::string value(static_cast<size_t>(size) - name.size(), 'm');
    properties.metadata = {{std::move(name), std::move(value)}};
    QUAY_TRY(store_.Put(copy_, MemorySource(kBody), properties, Condition::None(),
                        Within(kStepTimeout)));
    QUAY_ASSIGN(const ObjectHead head, store_.Head(copy_, Within(kStepTimeout)));
    if (head.properties.metadata == properties.metadata) return {};
    return Error(Code::kCorrupt, "metadata were cut");
  }

  /// Where the service has a move, renames go by it, if it loses nothing.
  void Move() {
    if (!store_.capabilities().move) return;
    const auto move = [this]() -> Status {
      QUAY_TRY(store_.Put(copy_, MemorySource(kBody), Properties(), Condition::None(),
                          Within(kStepTimeout)));
      QUAY_TRY(store_.Move(copy_, moved_, Within(kStepTimeout)));
      return CheckHead(moved_);
    };
    const Status moved = move();
    if (!moved || !store_.capabilities().move) {
      rows_.push_back({"move", CheckResult::kWarning,
                       OneLine(fmt::format("renames are copies: {}",
                                           moved ? "the service's move loses attributes"
                                                 : moved.error().message()))});
      return;
    }
    rows_.push_back({"move", CheckResult::kOk, "renames are moves within the service"});
  }

  /// A large file as it is really sent: two parts, of which the first is as small as is allowed.
  void Multipart() {
    const Capabilities can = store_.capabilities();
    if (!can.multipart) {
      Skip("multipart limits", "multipart uploads are off");
      return;
    }
    Step(
        "multipart limits", [&] { return TwoParts(can); }, PartLimits(can), kParts);
    Step(
        "list uploads",
        [this]() -> Status {
          QUAY_TRY(store_.ListUploads(folder_, Within(kStepTimeout)));
          return {};
        },
        "allowed", kListUploads);
  }

  static std::string PartLimits(const Capabilities& can) {
    return fmt::format("parts of {} to {} bytes and up to {} of them", can.part_size_min,
                       can.part_size_max, can.parts_max);
  }

  Status TwoParts(const Capabilities& can) {
    QUAY_ASSIGN(const std::string upload,
                store_.CreateUpload(copy_, Properties(), Within(kStepTimeout)));
    Status done = SendTwoParts(can, upload);
    if (done) return done;
    const Status aborted = store_.AbortUpload(copy_, upload, Within(kStepTimeout));
    if (aborted.Is(Code::kPermissionDenied)) {
      rows_.push_back({"abort upload", CheckResult::kWarning, Denied(kAbort, aborted.error())});
    }
    return done;
  }

  Status SendTwoParts(const Capabilities& can, const std::string& upload) {
    const std::string first(static_cast<size_t>(can.part_size_min), 'p');
    QUAY_ASSIGN(const PartInfo a,
                store_.UploadPart(copy_, upload, 1, MemorySource(first), Within(kStepTimeout)));
    QUAY_ASSIGN(const PartInfo b,
                store_.UploadPart(copy_, upload, 2, MemorySource(kBody), Within(kStepTimeout)));
    QUAY_TRY(store_.CompleteUpload(copy_, upload, {a, b}, Condition::None(), Within(kStepTimeout)));
    QUAY_ASSIGN(const ObjectHead head, Found(store_.Head(copy_, Within(kStepTimeout))));
    if (head.info.size == first.size() + kBody.size()) return {};
    return Error(Code::kCorrupt, "an object made of parts has another size than the parts");
  }

  void Skip(std::string name, std::string why) {
    rows_.push_back({std::move(name), CheckResult::kSkipped, std::move(why)});
  }

  Status ListOne() {
    ListRequest request;
    request.prefix = config_.prefix;
    request.delimiter = "/";
    request.max_keys = 1;
    QUAY_TRY(store_.List(request, Within(kStepTimeout)));
    return {};
  }

  Status Write() {
    QUAY_TRY(store_.Put(object_, MemorySource(kBody), Properties(), Condition::None(),
                        Within(kStepTimeout)));
    return {};
  }

  Status CheckHead(const std::string& key) {
    QUAY_ASSIGN(const ObjectHead head, Found(store_.Head(key, Within(kStepTimeout))));
    if (head.info.size != kBody.size()) {
      return Error(Code::kCorrupt, fmt::format("an object of {} bytes is reported with {}",
                                               kBody.size(), head.info.size));
    }
    const UserMetadata expected = Properties().metadata;
    for (const auto& [name, value] : expected) {
      const auto found = head.properties.metadata.find(name);
      if (found == head.properties.metadata.end() || found->second != value) {
        return Error(Code::kCorrupt,
                     "the store drops or changes metadata (x-amz-meta-...); set metadata = "
                     "\"plain\" to mount it without modes, "
                     "owners and times");
      }
    }
    return {};
  }

  Status Read() {
    constexpr ByteRange kRange{2, 9};
    StringSink sink;
    GetRequest request;
    request.key = object_;
    request.range = kRange;
    QUAY_TRY(Found(store_.Get(request, sink, Within(kStepTimeout))));
    if (sink.text() == kBody.substr(kRange.begin, kRange.end - kRange.begin)) return {};
    return Error(Code::kCorrupt,
                 "a read of a range brought other bytes than were written; a proxy in between?");
  }

  /// Objects that cannot be read before they are restored, among the first thousand.
  void Archived() {
    ListRequest request;
    request.prefix = config_.prefix;
    const auto page = store_.List(request, Within(kStepTimeout));
    if (!page) return;
    const auto archived =
        std::count_if(page->objects.begin(), page->objects.end(), [](const ObjectInfo& info) {
          const std::string& name = info.storage_class;
          return name == "GLACIER" || name == "DEEP_ARCHIVE" || name == "ARCHIVE";
        });
    if (archived == 0) return;
    rows_.push_back(
        {"archived", CheckResult::kWarning,
         fmt::format("{} of the first {} objects are of an archive class: reading one fails until "
                     "it has been restored with the vendor's console or tool (S3: RestoreObject), "
                     "which takes minutes to hours; restored copies are temporary",
                     archived, page->objects.size())});
  }

  /// Whether new objects get the class that the config asks for. Some services leave it out of
  /// their replies.
  void Class() {
    const auto head = store_.Head(object_, Within(kStepTimeout));
    if (!head) return;
    const std::string& made = head->info.storage_class;
    if (made.empty()) {
      Skip("storage class", "the store does not say which one it used");
      return;
    }
    const std::string wanted = WireClass();
    if (!wanted.empty() && wanted != made) {
      rows_.push_back(
          {"storage class", CheckResult::kWarning,
           fmt::format("{} was asked for and the store made {}; change storage_class in "
                       "{}, or ask the vendor whether this region has it",
                       wanted, made, config_.path)});
      return;
    }
    rows_.push_back({"storage class", CheckResult::kOk, fmt::format("accepted: {}", made)});
  }

  std::string WireClass() const {
    const auto profile = FindProfile(config_.store.provider);
    if (!profile) return "";
    auto wire = ResolveStorageClass(**profile, config_.store.storage_class);
    return wire.ok() ? *std::move(wire) : "";
  }

  /// For people: how long one request takes, and what one connection carries.
  void Speed() {
    constexpr int kTries = 3;
    constexpr size_t kBytes = 1 << 20;
    std::optional<Duration> best;
    for (int i = 0; i < kTries; ++i) {
      const SteadyTime begun = SystemClock().Steady();
      if (!store_.Head(object_, Within(kStepTimeout))) return;
      const Duration took = SystemClock().Steady() - begun;
      best = best ? std::min(*best, took) : took;
    }
    rows_.push_back(
        {"round trip", CheckResult::kOk, fmt::format("{:.1f} ms", Milliseconds(*best))});
    const std::string body(kBytes, 'q');
    const SteadyTime begun = SystemClock().Steady();
    const bool sent =
        store_.Put(copy_, MemorySource(body), {}, Condition::None(), Within(kStepTimeout)).ok();
    const SteadyTime middle = SystemClock().Steady();
    StringSink sink;
    if (!sent || !store_.Get(GetRequest{copy_, {}, {}}, sink, Within(kStepTimeout))) return;
    const double up = Milliseconds(middle - begun);
    const double down = Milliseconds(SystemClock().Steady() - middle);
    rows_.push_back({"throughput", CheckResult::kOk,
                     fmt::format("one connection, 1 MiB: {:.1f} MiB/s up, {:.1f} MiB/s down",
                                 PerSecond(up), PerSecond(down))});
  }

  static double Milliseconds(Duration time) {
    return std::chrono::duration<double, std::milli>(time).count();
  }
  static double PerSecond(double milliseconds) { return 1000.0 / std::max(milliseconds, 0.001); }

  Status ListNew() {
    ListRequest request;
    request.prefix = folder_;
    QUAY_ASSIGN(const ListPage page, store_.List(request, Within(kStepTimeout)));
    const bool there = std::any_of(page.objects.begin(), page.objects.end(),
                                   [this](const ObjectInfo& info) { return info.key == object_; });
    if (there) return {};
    return Error(Code::kCorrupt, "an object that has just been written is not in the listing");
  }

  Status Copy() {
    QUAY_TRY(Found(
        store_.Copy(object_, "", copy_, Properties(), Condition::None(), Within(kStepTimeout))));
    return CheckHead(copy_);
  }

  Status Delete() {
    for (const std::string& key : {object_, copy_, moved_}) {
      QUAY_TRY(store_.Delete(key, Condition::None(), Within(kStepTimeout)));
      const auto head = store_.Head(key, Within(kStepTimeout));
      if (head) return Error(Code::kCorrupt, "an object that was deleted is still there");
      if (!head.Is(Code::kNotFound)) return head.error();
    }
    return {};
  }

  /// An object of ours that is missing is no missing bucket.
  template <typename T>
  static Result<T> Found(Result<T> result) {
    if (!result.Is(Code::kNotFound)) return result;
    return Error(Code::kCorrupt, "an object that has just been written is not there");
  }

  void CleanUp() {
    Status cleaned;
    for (const std::string& key : {object_, copy_, moved_}) {
      const Status deleted = store_.Delete(key, Condition::None(), Within(kStepTimeout));
      if (!deleted) cleaned = deleted;
    }
    if (cleaned) return;
    rows_.push_back({"clean up", CheckResult::kWarning,
                     fmt::format("objects below {} could not be removed: {}", folder_,
                                 OneLine(cleaned.error().message()))});
  }

  const MountConfig& config_;
  ObjectStore& store_;
  const std::string folder_;
  const std::string object_ = folder_ + "object";
  const std::string copy_ = folder_ + "copy";
  const std::string moved_ = folder_ + "moved";
  std::vector<CheckRow> rows_;
};

/// What is lost without a capability, and whether that deserves a warning.
struct CapabilityAdvice {
  std::string_view name;  // ProbeRow::name
  CheckResult without = CheckResult::kOk;
  std::string_view loss;
};

constexpr CapabilityAdvice kAdvice[] = {
    {"put if absent", CheckResult::kWarning,
     "two machines that create the same file at the same moment may not notice"},
    {"put if unchanged", CheckResult::kWarning,
     "a change by others in the moment of an upload may be overwritten; it is looked for just "
     "before"},
    {"complete if absent", CheckResult::kOk, "as for put, with large files"},
    {"complete if unchanged", CheckResult::kOk, "as for put, with large files"},
    {"delete if unchanged", CheckResult::kOk,
     "a file that others change in the moment it is deleted is deleted"},
    {"copy if absent", CheckResult::kOk, "a rename looks first whether the new name is free"},
    {"multipart upload", CheckResult::kFailed,
     "files above the store's limit for one upload cannot be written"},
    {"copy", CheckResult::kWarning, "renames and changes of attributes send the contents again"},
    {"part copy", CheckResult::kWarning, "a change in a large file sends all of it again"},
    {"multi-object delete", CheckResult::kOk, "files are deleted one by one"},
};

CheckRow Judge(const ProbeRow& row, ProbeVerdict verdict) {
  CheckRow check;
  check.name = std::string(row.name);
  if (verdict == ProbeVerdict::kHonoured) {
    check.text = "honoured";
    return check;
  }
  if (verdict == ProbeVerdict::kUntested) {
    check.result = CheckResult::kSkipped;
    check.text = "not tried";
    return check;
  }
  check.text = std::string(ProbeVerdictName(verdict));
  for (const CapabilityAdvice& advice : kAdvice) {
    if (advice.name != row.name) continue;
    check.result = advice.without;
    check.text += fmt::format(": {}", advice.loss);
  }
  return check;
}

}  // namespace

std::string_view CheckResultName(CheckResult result) {
  switch (result) {
    case CheckResult::kOk:
      return "ok";
    case CheckResult::kWarning:
      return "warning";
    case CheckResult::kSkipped:
      return "skipped";
    case CheckResult::kFailed:
      break;
  }
  return "failed";
}

std::vector<CheckRow> CheckStore(const MountConfig& config, ObjectStore& store) {
  return StoreCheck(config, store).Run();
}

std::vector<CheckRow> CheckCapabilities(const MountConfig& config, ObjectStore& scratch_store,
                                        const Capabilities& declared,
                                        std::optional<ProbeReport>* found_out) {
  std::vector<CheckRow> rows;
  const auto report =
      ProbeCapabilities(scratch_store, config.prefix + NewProbePrefix(), Within(kProbeTimeout));
  if (!report) {
    rows.push_back({"probe", CheckResult::kFailed, ExplainStoreError(report.error(), config)});
    return rows;
  }
  if (found_out != nullptr) *found_out = *report;
  for (const ProbeRow& row : ProbeRows()) rows.push_back(Judge(row, (*report).*(row.verdict)));
  const Capabilities found = ApplyProbe(declared, *report);
  if ((declared.put_if_absent && !found.put_if_absent) ||
      (declared.put_if_match && !found.put_if_match)) {
    rows.push_back({"profile", CheckResult::kWarning,
                    fmt::format("provider '{}' is expected to honour conditions on writes, this "
                                "endpoint does not; is it really "
                                "that vendor's?",
                                config.store.provider)});
  }
  for (const std::string& note : report->notes)
    rows.push_back({"note", CheckResult::kOk, OneLine(note)});
  return rows;
}

CheckResult Worst(const std::vector<CheckRow>& rows) {
  CheckResult worst = CheckResult::kOk;
  for (const CheckRow& row : rows) {
    if (row.result == CheckResult::kFailed) return CheckResult::kFailed;
    if (row.result == CheckResult::kWarning) worst = CheckResult::kWarning;
  }
  return worst;
}

}  // namespace quayfs::program
