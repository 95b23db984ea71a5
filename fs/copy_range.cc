// SPDX-License-Identifier: Apache-2.0
//
// Core: objects made of ranges of others, within the store: uploads whose parts are copies. What is
// too small to be a part is fetched and sent.

#include "fs/copy_range.h"

#include <algorithm>
#include <utility>

#include "cache/orphan_uploads.h"
#include "cache/unsettled.h"
#include "fs/core.h"

namespace quayfs {
namespace {

constexpr uint64_t kPiece = 1ull << 30;
constexpr size_t kPiecesInFlight = 8;

void AppendCopies(ByteRange range, bool from_source, uint64_t parts_max,
                  std::vector<RangePart>* parts) {
  const uint64_t most = std::max(kPiece, range.length() / parts_max * 4);
  const uint64_t count = std::max<uint64_t>(1, (range.length() + most - 1) / most);
  const uint64_t piece = range.length() / count;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t end = i + 1 == count ? range.end : range.begin + piece;
    parts->push_back({{range.begin, end}, from_source ? RangePart::kSource : RangePart::kTarget});
    range.begin = end;
  }
}

}  // namespace

std::vector<RangePart> PlanRanges(uint64_t target_size, const CopyRequest& request,
                                  uint64_t part_min, uint64_t parts_max) {
  const uint64_t end = request.offset + request.length;
  const uint64_t size = std::max(target_size, end);
  std::vector<RangePart> parts;
  uint64_t done = 0;  // copied, or fetched beside something too small
  const auto append = [&](ByteRange range, bool from_source) {
    range.begin = std::max(range.begin, done);
    if (range.begin >= range.end) return;
    done = range.end;
    if (range.length() >= part_min) return AppendCopies(range, from_source, parts_max, &parts);
    done = std::min(size, range.begin + part_min);
    parts.push_back({{range.begin, done}, RangePart::kFetched});
  };
  append({0, request.offset}, false);
  append({request.offset, end}, true);
  append({end, size}, false);
  return parts;
}

Result<ObjectInfo> Core::UploadCopies(
    const OpContext& context, const std::string& key, const ObjectProperties& properties,
    const Condition& condition, uint64_t size, size_t count,
    const std::function<Result<PartInfo>(const std::string& upload, size_t index)>& send) {
  // C7: what we do not live to complete is aborted by the next mount.
  const auto note = [this](StateBatch batch, Persist persist) {
    return state_ == nullptr ? Status() : state_->Apply(std::move(batch), persist);
  };
  std::string unknown;
  QUAY_ASSIGN(const std::string upload, CreateRecorded({store_, state_}, key, properties,
                                                       clock_.Now(), context.call, &unknown));
  Status done = note(std::move(StateBatch().PutOrphan(key, upload).DropOrphan(key, unknown)),
                     Persist::kSurvivesPowerCut);
  std::vector<PartInfo> parts(count);
  if (done.ok()) {
    done = ParallelFor(background_, count, kPiecesInFlight, [&](size_t i) -> Status {
      QUAY_ASSIGN(parts[i], send(upload, i));
      parts[i].number = static_cast<int>(i) + 1;
      return {};
    });
  }
  if (done.ok()) {
    auto completed =
        store_.CompleteUpload(key, upload, parts, condition, WithWork(context.call, size));
    // Of an unclear end the next mount aborts what is left, if anything is.
    if (completed.ok() || IsUnclear(completed.code())) {
      if (completed.ok())
        Ignore(note(std::move(StateBatch().DropOrphan(key, upload)), Persist::kSurvivesKill));
      return completed;
    }
    done = completed.error();
  }
  // The failure to report is the one before.
  if (store_.AbortUpload(key, upload, {}).ok())
    Ignore(note(std::move(StateBatch().DropOrphan(key, upload)), Persist::kSurvivesKill));
  return done.error();
}

Result<PartInfo> Core::SendRangePart(const OpContext& context, const Step& step,
                                     const RangeCopy& copy, const std::string& upload,
                                     const RangePart& part, int number) {
  const CallOptions call = WithWork(context.call, part.range.length());
  // Where the bytes [begin, end) of the new object are in the source.
  const auto in_source = [&copy](ByteRange range) {
    return ByteRange::OfLength(range.begin - copy.request.offset + copy.request.from_offset,
                               range.length());
  };
  if (part.kind == RangePart::kTarget) {
    return store_.CopyPart(step.key, upload, number, step.key, step.expected_etag, part.range,
                           call);
  }
  if (part.kind == RangePart::kSource) {
    return store_.CopyPart(step.key, upload, number, copy.source.key, copy.source.etag,
                           in_source(part.range), call);
  }
  const ByteRange copied = ByteRange::OfLength(copy.request.offset, copy.request.length);
  StringSink bytes;
  const auto fetch = [&](ByteRange range, bool from_source) -> Status {
    if (range.begin >= range.end) return {};
    const auto got =
        from_source ? store_.Get({copy.source.key, in_source(range), copy.source.etag}, bytes, call)
                    : store_.Get({step.key, range, step.expected_etag}, bytes, call);
    return got.ok() ? Status() : Status(got.error());
  };
  const auto [begin, end] = part.range;
  QUAY_TRY(fetch({begin, std::min(end, copied.begin)}, false));
  QUAY_TRY(fetch(part.range.Intersection(copied), true));
  QUAY_TRY(fetch({std::max(begin, copied.end), end}, false));
  if (bytes.text().size() != part.range.length())
    return Error(Code::kCorrupt, "the store gave fewer bytes than it was asked for");
  return store_.UploadPart(step.key, upload, number, MemorySource(bytes.text()), call);
}

Result<ObjectInfo> Core::BuildOfRanges(const OpContext& context, const Step& step,
                                       const RangeCopy& copy) {
  const Capabilities can = store_.capabilities();
  Condition condition;
  if (config_.conflict != ConflictPolicy::kOverwrite) {
    if (can.complete_if_match) {
      condition = Condition::IfEtag(step.expected_etag);
    } else {
      QUAY_ASSIGN(const ObjectHead head, store_.Head(step.key, context.call));
      if (!SameEtag(head.info.etag, step.expected_etag))
        return Error(Code::kChanged, "another client changed the object '" + step.key + "'");
    }
  }
  const std::vector<RangePart> parts = PlanRanges(copy.target_size, copy.request, can.part_size_min,
                                                  static_cast<uint64_t>(can.parts_max));
  return UploadCopies(context, step.key, step.properties, condition, step.version.size,
                      parts.size(), [&](const std::string& upload, size_t i) {
                        return SendRangePart(context, step, copy, upload, parts[i],
                                             static_cast<int>(i) + 1);
                      });
}

}  // namespace quayfs
