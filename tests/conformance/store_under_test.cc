// SPDX-License-Identifier: Apache-2.0

#include "tests/conformance/store_under_test.h"

#include <algorithm>
#include <map>
#include <ostream>
#include <random>
#include <utility>

#include "base/hash.h"

namespace quayfs::conformance {
namespace {

/// One instance of each store for the whole program; gone before main ends, so that servers stop
/// and folders vanish.
class Instances : public testing::Environment {
 public:
  /// Made at first use; one that cannot be made is not tried again.
  Result<ObjectStore*> Get(const StoreFactory& factory) {
    auto entry = instances_.find(factory.name);
    if (entry == instances_.end()) entry = instances_.emplace(factory.name, factory.make()).first;
    if (!entry->second) return entry->second.error();
    return &(*entry->second)->store();
  }
  void TearDown() override { instances_.clear(); }

 private:
  std::map<std::string, Result<std::unique_ptr<StoreUnderTest>>> instances_;
};

Instances* const kInstances = [] {
  auto* instances = new Instances();  // gtest deletes it
  testing::AddGlobalTestEnvironment(instances);
  return instances;
}();

}  // namespace

void PrintTo(const StoreFactory& factory, std::ostream* out) { *out << factory.name; }

std::string Pattern(uint64_t size, uint32_t seed) {
  std::string text;
  text.reserve(size + 8);
  std::mt19937_64 random(seed);
  while (text.size() < size) {
    const uint64_t word = random();
    text.append(reinterpret_cast<const char*>(&word), sizeof(word));
  }
  text.resize(size);
  return text;
}

void Conformance::SetUp() {
  const auto instance = kInstances->Get(GetParam());
  ASSERT_OK(instance);
  store_ = *instance;
  prefix_ = "conformance/" + HexEncode(RandomBytes(6)) + "/";
}

void Conformance::TearDown() {
  if (store_ == nullptr) return;
  const auto uploads = store().ListUploads(prefix_, {});
  if (uploads.ok()) {
    for (const UploadInfo& upload : *uploads) {
      EXPECT_OK(store().AbortUpload(upload.key, upload.upload_id, {}));
    }
  }
  const std::vector<std::string> keys = ListKeys(prefix_);
  if (keys.empty()) return;
  const auto outcomes = store().DeleteMany(keys, {});
  ASSERT_OK(outcomes);
  for (const DeleteOutcome& outcome : *outcomes) EXPECT_OK(outcome.status);
  EXPECT_TRUE(ListKeys(prefix_).empty());
}

uint64_t Conformance::PartSize() const {
  // A store without a lower limit still gets parts that do not fit into one page of memory.
  return std::max<uint64_t>(caps().part_size_min, 10'000);
}

ObjectInfo Conformance::PutText(const std::string& key, std::string_view text,
                                const ObjectProperties& properties) {
  auto info = store().Put(key, MemorySource(text), properties, Condition::None(), call_);
  EXPECT_OK(info);
  return info.ok() ? *info : ObjectInfo{};
}

std::string Conformance::GetText(const std::string& key) {
  StringSink sink;
  const auto head = store().Get(GetRequest{key, {}, {}}, sink, call_);
  EXPECT_OK(head);
  EXPECT_EQ(sink.text().size(), head.ok() ? head->info.size : 0);
  return sink.text();
}

ListPage Conformance::ListAll(const std::string& prefix, const std::string& delimiter,
                              int max_keys) {
  ListPage all;
  ListRequest request{prefix, delimiter, "", max_keys};
  do {
    auto page = store().List(request, call_);
    EXPECT_OK(page);
    if (!page) break;
    EXPECT_LE(page->objects.size() + page->common_prefixes.size(), static_cast<size_t>(max_keys));
    EXPECT_NE(page->next_token.empty() ? "end" : request.token, page->next_token);
    std::move(page->objects.begin(), page->objects.end(), std::back_inserter(all.objects));
    std::move(page->common_prefixes.begin(), page->common_prefixes.end(),
              std::back_inserter(all.common_prefixes));
    request.token = page->next_token;
  } while (!request.token.empty());
  std::sort(all.objects.begin(), all.objects.end(),
            [](const ObjectInfo& a, const ObjectInfo& b) { return a.key < b.key; });
  std::sort(all.common_prefixes.begin(), all.common_prefixes.end());
  return all;
}

std::vector<std::string> Conformance::ListKeys(const std::string& prefix, int max_keys) {
  std::vector<std::string> keys;
  for (const ObjectInfo& info : ListAll(prefix, "", max_keys).objects) keys.push_back(info.key);
  return keys;
}

}  // namespace quayfs::conformance
