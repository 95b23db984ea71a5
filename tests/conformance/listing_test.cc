// SPDX-License-Identifier: Apache-2.0
//
// Listings: every key once, prefixes rolled up, pages in any order.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <thread>

#include "tests/conformance/store_under_test.h"

namespace quayfs::conformance {
namespace {

class Listing : public Conformance {
 protected:
  std::vector<std::string> Names(const ListPage& page) const {
    std::vector<std::string> names;
    for (const ObjectInfo& info : page.objects) names.push_back(info.key.substr(prefix().size()));
    return names;
  }
  std::vector<std::string> Prefixes(const ListPage& page) const {
    std::vector<std::string> names;
    for (const std::string& text : page.common_prefixes) {
      names.push_back(text.substr(prefix().size()));
    }
    return names;
  }
};

using Strings = std::vector<std::string>;

TEST_P(Listing, NothingThere) {
  const auto page = store().List(ListRequest{prefix(), "", "", 1000}, call_);
  ASSERT_OK(page);
  EXPECT_TRUE(page->objects.empty());
  EXPECT_TRUE(page->common_prefixes.empty());
  EXPECT_EQ(page->next_token, "");
}

TEST_P(Listing, TellsSizeEtagAndTime) {
  const ObjectInfo put = PutText(Key("a"), "hello");
  const ListPage page = ListAll(prefix(), "");
  ASSERT_EQ(page.objects.size(), 1u);
  EXPECT_EQ(page.objects[0].key, Key("a"));
  EXPECT_EQ(page.objects[0].size, 5u);
  EXPECT_TRUE(SameEtag(page.objects[0].etag, put.etag)) << page.objects[0].etag;
  const auto head = store().Head(Key("a"), call_);
  ASSERT_OK(head);
  const auto difference = head->info.last_modified - page.objects[0].last_modified;
  EXPECT_LT(std::chrono::abs(difference), std::chrono::seconds(2));
}

TEST_P(Listing, PrefixAndDelimiter) {
  for (const char* name : {"a", "a/", "a/b", "a/b/c", "a-b", "a0", "b/x/y", "c", "ab/1", "a/c"}) {
    PutText(Key(name), name);
  }
  ListPage page = ListAll(prefix(), "/");
  EXPECT_EQ(Names(page), (Strings{"a", "a-b", "a0", "c"}));
  EXPECT_EQ(Prefixes(page), (Strings{"a/", "ab/", "b/"}));

  page = ListAll(Key("a"), "/");
  EXPECT_EQ(Names(page), (Strings{"a", "a-b", "a0"}));
  EXPECT_EQ(Prefixes(page), (Strings{"a/", "ab/"}));

  page = ListAll(Key("a/"), "/");
  EXPECT_EQ(Names(page), (Strings{"a/", "a/b", "a/c"})) << "the marker itself is listed";
  EXPECT_EQ(Prefixes(page), (Strings{"a/b/"}));

  page = ListAll(Key("a/b"), "");
  EXPECT_EQ(Names(page), (Strings{"a/b", "a/b/c"}));
  EXPECT_TRUE(page.common_prefixes.empty());

  page = ListAll(Key("a/b/c/d"), "/");
  EXPECT_TRUE(page.objects.empty() && page.common_prefixes.empty());
  page = ListAll(Key("zz"), "");
  EXPECT_TRUE(page.objects.empty());
}

TEST_P(Listing, PagesOfEverySizeGiveTheSame) {
  std::set<std::string> keys;
  for (const char* name : {"a", "a/", "a/b", "a/b/c", "a!", "a/b/", "a-b", "a0", "b/x/y", "b/x/z",
                           "c", "c/1", "c/2", "c/3", "c//4", "c//", "//x"}) {
    PutText(Key(name), "");
    keys.insert(Key(name));
  }
  const Strings expected(keys.begin(), keys.end());
  const ListPage delimited = ListAll(prefix(), "/");
  for (const int size : {1, 2, 3, 5, 16, 17, 18, 100}) {
    EXPECT_EQ(ListKeys(prefix(), size), expected) << "pages of " << size;
    const ListPage page = ListAll(prefix(), "/", size);
    EXPECT_EQ(Names(page), Names(delimited)) << "pages of " << size;
    EXPECT_EQ(Prefixes(page), Prefixes(delimited)) << "pages of " << size;
  }
}

TEST_P(Listing, AStoreThatPromisesByteOrderKeepsIt) {
  if (!caps().list_in_byte_order) GTEST_SKIP() << "this store promises nothing";
  for (const char* name : {"b", "a/z", "a", "a!", "a0", "\xc3\xa9", "Z", "~", "a/a", "-"}) {
    PutText(Key(name), "");
  }
  for (const int size : {2, 1000}) {
    Strings keys;
    ListRequest request{prefix(), "", "", size};
    do {
      const auto page = store().List(request, call_);
      ASSERT_OK(page);
      for (const ObjectInfo& info : page->objects) keys.push_back(info.key);
      request.token = page->next_token;
    } while (!request.token.empty());
    EXPECT_TRUE(std::is_sorted(keys.begin(), keys.end()));
    EXPECT_EQ(keys.size(), 10u);
  }
}

TEST_P(Listing, ATokenCanBeUsedTwice) {
  for (int i = 0; i < 10; ++i) PutText(Key(fmt::format("{}", i)), "");
  const auto first = store().List(ListRequest{prefix(), "", "", 4}, call_);
  ASSERT_OK(first);
  ASSERT_NE(first->next_token, "");
  const auto second = store().List(ListRequest{prefix(), "", first->next_token, 4}, call_);
  const auto again = store().List(ListRequest{prefix(), "", first->next_token, 4}, call_);
  ASSERT_OK(second);
  ASSERT_OK(again);
  EXPECT_EQ(Names(*second), Names(*again));
}

TEST_P(Listing, ChangesBetweenPagesDoNotHideTheRest) {
  for (int i = 0; i < 30; ++i) PutText(Key(fmt::format("{:02}", i)), "");
  std::set<std::string> seen;
  ListRequest request{prefix(), "", "", 7};
  bool changed = false;
  do {
    const auto page = store().List(request, call_);
    ASSERT_OK(page);
    for (const ObjectInfo& info : page->objects) {
      EXPECT_TRUE(seen.insert(info.key).second) << info.key << " came twice";
    }
    request.token = page->next_token;
    if (!changed) {
      changed = true;
      ASSERT_OK(store().Delete(Key("29"), Condition::None(), call_));
      ASSERT_OK(store().Delete(Key("06"), Condition::None(), call_));
      PutText(Key("15x"), "");
    }
  } while (!request.token.empty());
  for (int i = 0; i < 29; ++i) {
    EXPECT_TRUE(i == 6 || seen.contains(Key(fmt::format("{:02}", i)))) << i;
  }
}

TEST_P(Listing, MoreThanAThousandKeys) {
  constexpr int kCount = 1100;
  constexpr int kThreads = 16;
  std::vector<std::thread> writers;
  writers.reserve(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    writers.emplace_back([&, t] {
      for (int i = t; i < kCount; i += kThreads) PutText(Key(fmt::format("many/{:04}", i)), "");
    });
  }
  for (std::thread& writer : writers) writer.join();
  const auto first = store().List(ListRequest{Key("many/"), "/", "", 1000}, call_);
  ASSERT_OK(first);
  EXPECT_NE(first->next_token, "");
  EXPECT_EQ(ListKeys(prefix()).size(), static_cast<size_t>(kCount));
  EXPECT_EQ(Prefixes(ListAll(prefix(), "/")), Strings{"many/"});
}

TEST_P(Listing, AnEmptiedPrefixIsGone) {
  PutText(Key("d/e/f"), "x");
  PutText(Key("g"), "x");
  ASSERT_OK(store().Delete(Key("d/e/f"), Condition::None(), call_));
  const ListPage page = ListAll(prefix(), "/");
  EXPECT_TRUE(page.common_prefixes.empty());
  EXPECT_EQ(Names(page), Strings{"g"});
}

INSTANTIATE_TEST_SUITE_P(Stores, Listing, testing::ValuesIn(StoreFactories()), FactoryName);

}  // namespace
}  // namespace quayfs::conformance
