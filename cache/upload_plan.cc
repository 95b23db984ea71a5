// SPDX-License-Identifier: Apache-2.0

#include "cache/upload_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/text.h"

namespace quayfs {
namespace {

// Tier multipliers; all but the last tier have a tenth of the parts each.
constexpr uint64_t kGrowth[] = {1, 4, 16, 48};

uint64_t CeilDivide(uint64_t a, uint64_t b) { return (a + b - 1) / b; }

Error TooLarge(uint64_t size, uint64_t limit) {
  return {Code::kTooLarge,
          fmt::format("{} do not fit into one object of this store, which takes {}",
                      FormatSize(size), FormatSize(limit))};
}

struct Segment {
  ByteRange range;
  PartSource source = PartSource::kLocal;
};

void AppendSegment(ByteRange range, PartSource source, std::vector<Segment>* out) {
  if (range.empty()) return;
  if (!out->empty() && out->back().source == source) {
    out->back().range.end = range.end;
  } else {
    out->push_back({range, source});
  }
}

/// The file cut by where its bytes come from; what would be too small a copy is uploaded.
std::vector<Segment> Sources(const UploadSubject& subject, uint64_t least) {
  const ByteRange all{0, subject.size};
  ExtentSet zeros;
  if (subject.zeros != nullptr) {
    for (const ByteRange& range : subject.zeros->Within(all)) {
      if (range.length() >= least) zeros.Add(range);
    }
  }
  ExtentSet local = *subject.dirty;
  if (subject.base_limit < subject.size) local.Add({subject.base_limit, subject.size});
  for (const ByteRange& range : zeros.ranges()) local.Remove(range);

  std::vector<Segment> out;
  const auto append_copy = [&](ByteRange range, PartSource source) {
    AppendSegment(range, range.length() < least ? PartSource::kLocal : source, &out);
  };
  // Everything that is not local is of the base or zeros.
  const auto append_gap = [&](ByteRange gap) {
    for (const ByteRange& hole : zeros.Within(gap)) {
      append_copy({gap.begin, hole.begin}, PartSource::kCopy);
      append_copy(hole, PartSource::kZeros);
      gap.begin = hole.end;
    }
    append_copy(gap, PartSource::kCopy);
  };
  uint64_t done = 0;
  for (const ByteRange& range : local.Within(all)) {
    append_gap({done, range.begin});
    AppendSegment(range, PartSource::kLocal, &out);
    done = range.end;
  }
  append_gap({done, subject.size});
  return out;
}

/// The same with no segment smaller than `least`, except at the end of the file: what is uploaded
/// takes from what follows it.
std::vector<Segment> Segments(const UploadSubject& subject, uint64_t least) {
  std::vector<Segment> out;
  for (Segment segment : Sources(subject, least)) {
    if (!out.empty() && out.back().source == PartSource::kLocal) {
      Segment& before = out.back();
      const uint64_t length = before.range.length();
      const uint64_t wanted = length < least ? least - length : 0;
      const uint64_t taken = std::min(wanted, segment.range.length());
      const uint64_t left = segment.range.length() - taken;
      if (segment.source == PartSource::kLocal || left < least) {
        before.range.end = segment.range.end;
        continue;
      }
      before.range.end += taken;
      segment.range.begin += taken;
    }
    out.push_back(segment);
  }
  return out;
}

void AppendPart(ByteRange range, PartSource source, std::vector<PlannedPart>* parts) {
  parts->push_back({static_cast<int>(parts->size()) + 1, range, source});
}

/// Pieces of about the same size, none below `least`, and none above `most` unless `least` leaves
/// no choice, as it does not where `most` is twice as much.
void AppendCopies(ByteRange range, PartSource source, uint64_t least, uint64_t most,
                  std::vector<PlannedPart>* parts) {
  const uint64_t length = range.length();
  const uint64_t count = std::max<uint64_t>(1, std::min(CeilDivide(length, most), length / least));
  const uint64_t piece = length / count;
  const uint64_t longer = length % count;  // so many pieces take one byte more
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t end = range.begin + piece + (i < longer ? 1 : 0);
    AppendPart({range.begin, end}, source, parts);
    range.begin = end;
  }
}

void AppendUploads(ByteRange range, bool at_end, const PartGrid& grid, const Capabilities& limits,
                   std::vector<PlannedPart>* parts) {
  while (!range.empty()) {
    uint64_t piece = std::min(range.length(), grid.SizeAt(range.begin));
    const uint64_t rest = range.length() - piece;
    if (!at_end && rest > 0 && rest < limits.part_size_min) {
      // The rest would be too small to be a part in the middle of an object.
      piece = range.length() <= limits.part_size_max ? range.length() : range.length() / 2;
    }
    AppendPart(ByteRange::OfLength(range.begin, piece), PartSource::kLocal, parts);
    range.begin += piece;
  }
}

std::vector<PlannedPart> GridParts(uint64_t size, const PartGrid& grid) {
  std::vector<PlannedPart> parts;
  for (uint64_t offset = 0; offset < size; offset = parts.back().range.end) {
    const uint64_t end = std::min(size, offset + grid.SizeAt(offset));
    AppendPart({offset, end}, PartSource::kLocal, &parts);
  }
  return parts;
}

/// Every part has the size that the store asks for, so a part is copied if it is unchanged, or
/// zeros, as a whole.
std::vector<PlannedPart> EqualParts(const UploadSubject& subject, const PartGrid& grid,
                                    bool may_copy, const Capabilities& limits) {
  std::vector<PlannedPart> parts = GridParts(subject.size, grid);
  for (PlannedPart& part : parts) {
    if (part.range.length() < limits.part_size_min) continue;
    if (may_copy && part.range.end <= subject.base_limit && !subject.dirty->Overlaps(part.range)) {
      part.source = PartSource::kCopy;
    } else if (subject.zeros != nullptr && part.range.length() <= subject.zeros_copy_max &&
               subject.zeros->Contains(part.range)) {
      part.source = PartSource::kZeros;
    }
  }
  return parts;
}

/// Copies and uploads mixed; coarser and coarser until the number of parts is allowed.
std::vector<PlannedPart> MixedParts(const UploadSubject& subject, const PartGrid& grid,
                                    const Capabilities& limits, const UploadTuning& tuning) {
  const uint64_t smallest = std::max<uint64_t>(limits.part_size_min, 1);
  uint64_t least = smallest;
  uint64_t copy_most = std::clamp(tuning.copy_part_max, least, limits.part_size_max);
  while (least < subject.size) {
    std::vector<PlannedPart> parts;
    for (const auto& [range, source] : Segments(subject, least)) {
      if (source == PartSource::kLocal) {
        AppendUploads(range, range.end == subject.size, grid, limits, &parts);
      } else {
        const uint64_t most = source == PartSource::kZeros ? subject.zeros_copy_max : copy_most;
        AppendCopies(range, source, smallest, most, &parts);
      }
    }
    if (parts.size() <= static_cast<size_t>(limits.parts_max)) return parts;
    least *= 2;
    copy_most = std::min(copy_most * 2, limits.part_size_max);
  }
  return GridParts(subject.size, grid);
}

Status CheckLimits(const PlannedPart& part, bool last, const Capabilities& limits) {
  const uint64_t length = part.range.length();
  const auto wrong = [&](std::string_view what) {
    return Error(Code::kInternal, fmt::format("part {} [{}, {}) {}", part.number, part.range.begin,
                                              part.range.end, what));
  };
  if (length == 0) return wrong("is empty");
  if (length > limits.part_size_max) return wrong("is too large");
  if (!last && length < limits.part_size_min) return wrong("is too small");
  if (part.source != PartSource::kLocal) {
    if (!limits.part_copy) return wrong("is a copy, and the store has none");
    if (length < limits.part_size_min) return wrong("is too small a copy");
  }
  return {};
}

}  // namespace

PartGrid::PartGrid(uint64_t unit, const Capabilities& capabilities)
    : parts_max_(capabilities.parts_max) {
  const auto total = static_cast<uint64_t>(parts_max_);
  if (capabilities.equal_parts) {
    tiers_.push_back({unit, total});
    return;
  }
  uint64_t left = total;
  for (size_t i = 0; i < std::size(kGrowth); ++i) {
    const bool last = i + 1 == std::size(kGrowth);
    const uint64_t count = last ? left : total / 10;
    const uint64_t size =
        std::clamp(unit * kGrowth[i], capabilities.part_size_min, capabilities.part_size_max);
    tiers_.push_back({size, count});
    left -= count;
  }
}

Result<PartGrid> PartGrid::For(uint64_t size, const Capabilities& capabilities,
                               const UploadTuning& tuning) {
  const uint64_t largest = std::max<uint64_t>(capabilities.part_size_max, 1);
  const uint64_t smallest = std::clamp<uint64_t>(capabilities.part_size_min, 1, largest);
  uint64_t unit = std::clamp(tuning.part_size, smallest, largest);
  while (true) {
    PartGrid grid(unit, capabilities);
    if (grid.capacity() >= size) return grid;
    if (unit == largest) return TooLarge(size, grid.capacity());
    unit = std::min(unit * 2, largest);
  }
}

ByteRange PartGrid::Part(int number) const {
  QUAY_CHECK(number >= 1 && number <= parts_max_);
  auto index = static_cast<uint64_t>(number - 1);
  uint64_t offset = 0;
  for (const Tier& tier : tiers_) {
    if (index < tier.count)
      return ByteRange::OfLength(offset + index * tier.part_size, tier.part_size);
    index -= tier.count;
    offset += tier.count * tier.part_size;
  }
  QUAY_CHECK(false);
  return {};
}

uint64_t PartGrid::SizeAt(uint64_t offset) const {
  uint64_t begin = 0;
  for (const Tier& tier : tiers_) {
    const uint64_t end = begin + tier.count * tier.part_size;
    if (offset < end) return tier.part_size;
    begin = end;
  }
  QUAY_CHECK(false);
  return 0;
}

uint64_t PartGrid::capacity() const {
  uint64_t bytes = 0;
  for (const Tier& tier : tiers_) bytes += tier.count * tier.part_size;
  return bytes;
}

Result<UploadPlan> PlanUpload(const UploadSubject& subject, const Capabilities& capabilities,
                              const UploadTuning& tuning) {
  const uint64_t size = subject.size;
  if (size > capabilities.object_size_max) return TooLarge(size, capabilities.object_size_max);
  UploadPlan plan;
  if (size <= std::min(tuning.put_size_max, capabilities.put_size_max)) {
    if (size > tuning.memory_max) plan.kind = UploadPlan::Kind::kPutFromFile;
    return plan;
  }
  if (!capabilities.multipart) {
    if (size > capabilities.put_size_max) return TooLarge(size, capabilities.put_size_max);
    plan.kind = UploadPlan::Kind::kPutFromFile;
    return plan;
  }

  plan.kind = UploadPlan::Kind::kMultipart;
  QUAY_ASSIGN(const PartGrid grid, PartGrid::For(size, capabilities, tuning));
  const bool may_copy = capabilities.part_copy && subject.base_limit > 0 &&
                        subject.base_limit >= capabilities.part_size_min;
  UploadSubject usable = subject;
  if (!may_copy) usable.base_limit = 0;
  if (!capabilities.part_copy) usable.zeros = nullptr;
  if (capabilities.equal_parts) {
    plan.parts = EqualParts(usable, grid, may_copy, capabilities);
  } else if (may_copy || usable.zeros != nullptr) {
    plan.parts = MixedParts(usable, grid, capabilities, tuning);
  } else {
    plan.parts = GridParts(size, grid);
  }
  return plan;
}

std::string CheckPlan(const UploadPlan& plan, const UploadSubject& subject,
                      const Capabilities& capabilities) {
  if (plan.kind != UploadPlan::Kind::kMultipart) {
    if (!plan.parts.empty()) return "a single PUT has parts";
    return subject.size <= capabilities.put_size_max ? "" : "a single PUT is too large";
  }
  if (plan.parts.empty()) return "no parts";
  if (plan.parts.size() > static_cast<size_t>(capabilities.parts_max)) return "too many parts";
  uint64_t offset = 0;
  for (size_t i = 0; i < plan.parts.size(); ++i) {
    const PlannedPart& part = plan.parts[i];
    const bool last = i + 1 == plan.parts.size();
    if (part.number != static_cast<int>(i) + 1) return "part numbers are not consecutive";
    if (part.range.begin != offset) return fmt::format("part {} leaves a gap", part.number);
    if (Status ok = CheckLimits(part, last, capabilities); !ok) return ok.error().message();
    if (part.source == PartSource::kCopy &&
        (part.range.end > subject.base_limit || subject.dirty->Overlaps(part.range))) {
      return fmt::format("part {} copies bytes that have changed", part.number);
    }
    if (part.source == PartSource::kZeros &&
        (subject.zeros == nullptr || !subject.zeros->Contains(part.range) ||
         part.range.length() > subject.zeros_copy_max)) {
      return fmt::format("part {} is not zeros, or too many for one request", part.number);
    }
    if (capabilities.equal_parts && part.range.length() != plan.parts[0].range.length() &&
        !(last && part.range.length() < plan.parts[0].range.length())) {
      return fmt::format("part {} has another size", part.number);
    }
    offset = part.range.end;
  }
  return offset == subject.size ? "" : "the parts do not end where the file ends";
}

}  // namespace quayfs
