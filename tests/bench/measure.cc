#include "tests/bench/measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace heed::bench {
namespace {

// Three significant digits, or all digits before the point.
std::string Readable(double value) {
  const int digits = value == 0 ? 0 : static_cast<int>(std::floor(std::log10(std::abs(value))));
  return absl::StrFormat("%.*f", std::clamp(2 - digits, 0, 6), value);
}

std::string Percent(double percent) {
  return percent == 0 ? "" : absl::StrFormat("%.0f %%", percent);
}

}  // namespace

double SecondsNow() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double Quantile(std::vector<double> values, double share) {
  const auto last = static_cast<double>(values.size() - 1);
  const auto place = values.begin() + static_cast<std::ptrdiff_t>(share * last);
  std::nth_element(values.begin(), place, values.end());
  return *place;
}

Measurement Summarise(std::string name, std::string unit, const std::vector<double>& values) {
  return {std::move(name), std::move(unit), Quantile(values, 0.5), Quantile(values, 0),
          Quantile(values, 1)};
}

std::vector<double> TimeRepeatedly(int repetitions, absl::FunctionRef<void()> run) {
  run();
  std::vector<double> seconds;
  for (int i = 0; i < repetitions; ++i) {
    const double begin = SecondsNow();
    run();
    seconds.push_back(SecondsNow() - begin);
  }
  return seconds;
}

std::vector<double> Rates(double work, absl::Span<const double> seconds) {
  std::vector<double> rates;
  for (double s : seconds) rates.push_back(work / s);
  return rates;
}

std::string FormatTable(absl::Span<const Measurement> measurements) {
  size_t width = 0;
  for (const Measurement& m : measurements) width = std::max(width, m.name.size());
  std::string table = absl::StrFormat("%-*s  %10s  %-20s  %s\n", width, "", "median",
                                      "lowest .. highest", "of the roof");
  for (const Measurement& m : measurements) {
    const std::string spread = absl::StrCat(Readable(m.lowest), " .. ", Readable(m.highest));
    absl::StrAppendFormat(&table, "%-*s  %10s  %-20s  %6s  %s\n", width, m.name, Readable(m.median),
                          spread, Percent(m.percent_of_roof), m.unit);
  }
  return table;
}

std::string FormatJson(absl::Span<const Measurement> measurements) {
  const auto object = [](std::string* out, const Measurement& m) {
    absl::StrAppendFormat(
        out, R"({"name": "%s", "unit": "%s", "median": %.6g, "lowest": %.6g, "highest": %.6g)",
        m.name, m.unit, m.median, m.lowest, m.highest);
    if (m.percent_of_roof > 0)
      absl::StrAppendFormat(out, R"(, "percent_of_roof": %.4g)", m.percent_of_roof);
    absl::StrAppend(out, "}");
  };
  return absl::StrCat("[\n  ", absl::StrJoin(measurements, ",\n  ", object), "\n]\n");
}

}  // namespace heed::bench
