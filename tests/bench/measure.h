// Repeating a measurement, and what its repetitions say together.
#ifndef HEED_TESTS_BENCH_MEASURE_H_
#define HEED_TESTS_BENCH_MEASURE_H_

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/types/span.h"

namespace heed::bench {

double SecondsNow();  // on a clock that only goes forward

// The value below which `share` of the values lie, in [0, 1]; of an even number the lower middle.
// `values` is not empty.
double Quantile(std::vector<double> values, double share);

// One line of the result.
struct Measurement {
  std::string name;
  std::string unit;
  double median = 0;
  double lowest = 0;
  double highest = 0;
  double percent_of_roof = 0;  // 0: there is no roof to compare it with
};

Measurement Summarise(std::string name, std::string unit, const std::vector<double>& values);

// Runs `run` once to warm up and then `repetitions` times; the seconds that each took.
std::vector<double> TimeRepeatedly(int repetitions, absl::FunctionRef<void()> run);

// `work` in a second, of each of the times that it took.
std::vector<double> Rates(double work, absl::Span<const double> seconds);

// A table for people; the name's column, then median, spread, unit and percent of the roof.
std::string FormatTable(absl::Span<const Measurement> measurements);

// The same facts as a JSON array of objects.
std::string FormatJson(absl::Span<const Measurement> measurements);

}  // namespace heed::bench

#endif  // HEED_TESTS_BENCH_MEASURE_H_
