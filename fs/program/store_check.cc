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

namespace quayfs::program {
namespace {

constexpr auto kConnectTimeout = std::chrono::seconds(15);
constexpr auto kStepTimeout = std::chrono::seconds(60);
constexpr auto kProbeTimeout = std::chrono::minutes(5);
constexpr std::string_view kBody = "quayfs check";
constexpr size_t kRandomBytes = 6;

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

class StoreCheck {
 public:
  StoreCheck(const MountConfig& config, ObjectStore& store)
      : config_(config),
        store_(store),
        folder_(config.prefix + ".quayfs/check-" + HexEncode(RandomBytes(kRandomBytes)) + "/") {}

  std::vector<CheckRow> Run() {
    if (Step(
            "bucket",
            [this] { return ReachBucket(store_, config_.prefix, Within(kConnectTimeout)); },
            "reached as " + store_.name()) &&
        Step(
            "list", [this] { return ListOne(); }, "allowed")) {
      Archived();
      if (config_.mount.read_only) {
        Skip("write", "the mount is read-only");
      } else {
        Writes();
      }
    }
    return std::move(rows_);
  }

 private:
  void Writes() {
    if (Step(
            "write", [this] { return Write(); }, "allowed")) {
      Step(
          "head", [this] { return CheckHead(object_); },
          "size and attributes come back as they were written");
      Step(
          "read", [this] { return Read(); }, "ranges are read");
      if (!config_.store.storage_class.empty()) Class();
      Speed();
      Step(
          "list new", [this] { return ListNew(); }, "a new object is listed at once");
      Step(
          "copy", [this] { return Copy(); },
          "the store copies; renames and changes of attributes send no contents");
      Step(
          "delete", [this] { return Delete(); }, "allowed, nothing is left behind");
    }
    CleanUp();
  }

  template <typename Function>
  bool Step(std::string name, const Function& function, std::string good) {
    const Status status = function();
    if (status) {
      rows_.push_back({std::move(name), CheckResult::kOk, std::move(good)});
      return true;
    }
    rows_.push_back(
        {std::move(name), CheckResult::kFailed, ExplainStoreError(status.error(), config_)});
    return false;
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
    rows_.push_back({"storage class", CheckResult::kOk, fmt::format("accepted: {}", made)});
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
    for (const std::string& key : {object_, copy_}) {
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
    for (const std::string& key : {object_, copy_}) {
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
