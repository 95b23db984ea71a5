// SPDX-License-Identifier: Apache-2.0
//
// The stores that the conformance suite is run against, and what every test of it starts with.

#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <iosfwd>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "providers/object_store.h"

namespace quayfs::conformance {

/// A store and whatever it needs to live: a folder, a server.
class StoreUnderTest {
 public:
  virtual ~StoreUnderTest() = default;
  virtual ObjectStore& store() = 0;
};

struct StoreFactory {
  std::string name;  // letters, digits and '_'
  std::function<Result<std::unique_ptr<StoreUnderTest>>()> make;
  /// Parts that are copied or uploaded as other than the last are this large at least, whatever the
  /// store declares.
  uint64_t part_size_min = 1;
};

/// For failure messages.
void PrintTo(const StoreFactory& factory, std::ostream* out);

/// Those that this machine has. Prints a line for each that it has not.
const std::vector<StoreFactory>& StoreFactories();

/// A fixture with a key prefix of its own. What the test leaves below it is removed at its end.
class Conformance : public testing::TestWithParam<StoreFactory> {
 protected:
  void SetUp() override;
  void TearDown() override;

  ObjectStore& store() const { return *store_; }
  Capabilities caps() const { return store_->capabilities(); }
  /// A key of this test.
  std::string Key(std::string_view name) const { return prefix_ + std::string(name); }
  const std::string& prefix() const { return prefix_; }
  /// Bytes in a part that is not the last.
  uint64_t PartSize() const;

  // Shorthands that expect success.
  ObjectInfo PutText(const std::string& key, std::string_view text,
                     const ObjectProperties& properties = {});
  std::string GetText(const std::string& key);
  std::vector<std::string> ListKeys(const std::string& prefix, int max_keys = 1000);
  /// Every page, objects and common prefixes together, sorted.
  ListPage ListAll(const std::string& prefix, const std::string& delimiter, int max_keys = 1000);

  CallOptions call_;

 private:
  ObjectStore* store_ = nullptr;
  std::string prefix_;
};

inline std::string FactoryName(const testing::TestParamInfo<StoreFactory>& factory) {
  return factory.param.name;
}

/// `size` bytes that are the same for the same seed and compress badly.
std::string Pattern(uint64_t size, uint32_t seed);

template <typename T>
testing::AssertionResult IsOk(const Result<T>& result) {
  if (result.ok()) return testing::AssertionSuccess();
  return testing::AssertionFailure() << result.error().ToString();
}

template <typename T>
testing::AssertionResult HasCode(Code code, const Result<T>& result) {
  if (result.ok()) return testing::AssertionFailure() << "it succeeded";
  if (result.Is(code)) return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << "not " << CodeName(code) << " but " << result.error().ToString();
}

#define EXPECT_OK(expression) EXPECT_TRUE(IsOk(expression))
#define ASSERT_OK(expression) ASSERT_TRUE(IsOk(expression))
#define EXPECT_CODE(code, expression) EXPECT_TRUE(HasCode(code, expression))

}  // namespace quayfs::conformance
