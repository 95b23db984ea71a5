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

/// The ranges to upload: every dirty byte, grown and joined so that no part and no copy between two
/// is smaller than `least`, except at the end of the file.
std::vector<ByteRange> RangesToUpload(const UploadSubject& subject, uint64_t least) {
  std::vector<ByteRange> out;
  ExtentSet must = *subject.dirty;
  if (subject.base_limit < subject.size) must.Add({subject.base_limit, subject.size});
  for (ByteRange range : must.Within({0, subject.size})) {
    if (!out.empty() && range.begin < out.back().end + least) {
      out.back().end = std::max(out.back().end, range.end);
    } else {
      if (range.begin < least) range.begin = 0;
      out.push_back(range);
    }
    if (out.back().length() < least) {
      out.back().end = std::min(out.back().begin + least, subject.size);
    }
  }
  if (!out.empty() && subject.size - out.back().end < least) out.back().end = subject.size;
  return out;
}

void AppendPart(ByteRange range, PartSource source, std::vector<PlannedPart>* parts) {
  parts->push_back({static_cast<int>(parts->size()) + 1, range, source});
}

/// Pieces of about the same size, none below `least`, and none above `most` unless `least` leaves
/// no choice.
void AppendCopies(ByteRange range, uint64_t least, uint64_t most, std::vector<PlannedPart>* parts) {
  const uint64_t length = range.length();
  const uint64_t count = std::max<uint64_t>(1, std::min(CeilDivide(length, most), length / least));
  const uint64_t piece = length / count;
  const uint64_t longer = length % count;  // so many pieces take one byte more
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t end = range.begin + piece + (i < longer ? 1 : 0);
    AppendPart({range.begin, end}, PartSource::kCopy, parts);
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

/// Every part has the size that the store asks for, so a part is copied if it is unchanged as a
/// whole.
std::vector<PlannedPart> EqualParts(const UploadSubject& subject, const PartGrid& grid,
                                    bool may_copy, const Capabilities& limits) {
  std::vector<PlannedPart> parts = GridParts(subject.size, grid);
  for (PlannedPart& part : parts) {
    if (may_copy && part.range.end <= subject.base_limit &&
        part.range.length() >= limits.part_size_min && !subject.dirty->Overlaps(part.range)) {
      part.source = PartSource::kCopy;
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
    uint64_t done = 0;
    for (ByteRange range : RangesToUpload(subject, least)) {
      if (done < range.begin) AppendCopies({done, range.begin}, smallest, copy_most, &parts);
      AppendUploads(range, range.end == subject.size, grid, limits, &parts);
      done = range.end;
    }
    if (done < subject.size) AppendCopies({done, subject.size}, smallest, copy_most, &parts);
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
  if (part.source == PartSource::kCopy) {
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
  if (size <= std::min(tuning.put_size_max, capabilities.put_size_max)) return plan;
  if (!capabilities.multipart) {
    if (size > capabilities.put_size_max) return TooLarge(size, capabilities.put_size_max);
    plan.kind = UploadPlan::Kind::kPutFromCopy;
    return plan;
  }

  plan.kind = UploadPlan::Kind::kMultipart;
  QUAY_ASSIGN(const PartGrid grid, PartGrid::For(size, capabilities, tuning));
  const bool may_copy = capabilities.part_copy && subject.base_limit > 0 &&
                        subject.base_limit >= capabilities.part_size_min;
  if (capabilities.equal_parts) {
    plan.parts = EqualParts(subject, grid, may_copy, capabilities);
  } else if (may_copy) {
    plan.parts = MixedParts(subject, grid, capabilities, tuning);
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
    if (capabilities.equal_parts && part.range.length() != plan.parts[0].range.length() &&
        !(last && part.range.length() < plan.parts[0].range.length())) {
      return fmt::format("part {} has another size", part.number);
    }
    offset = part.range.end;
  }
  return offset == subject.size ? "" : "the parts do not end where the file ends";
}

}  // namespace quayfs
