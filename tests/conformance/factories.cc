// SPDX-License-Identifier: Apache-2.0

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "base/hash.h"
#include "providers/local_store.h"
#include "tests/conformance/store_under_test.h"

namespace quayfs::conformance {
namespace {

class LocalUnderTest final : public StoreUnderTest {
 public:
  LocalUnderTest()
      : folder_(std::filesystem::temp_directory_path() /
                ("quayfs-conformance-" + HexEncode(RandomBytes(8)))) {
    std::filesystem::create_directory(folder_);
    store_ = OpenLocalStore(folder_.string()).value();
  }
  ~LocalUnderTest() override {
    store_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  ObjectStore& store() override { return *store_; }

 private:
  const std::filesystem::path folder_;
  std::unique_ptr<ObjectStore> store_;
};

std::vector<StoreFactory> MakeFactories() {
  std::vector<StoreFactory> factories;
  factories.push_back({"local", [] { return std::make_unique<LocalUnderTest>(); }});
  return factories;
}

}  // namespace

const std::vector<StoreFactory>& StoreFactories() {
  static const std::vector<StoreFactory> factories = MakeFactories();
  return factories;
}

}  // namespace quayfs::conformance
